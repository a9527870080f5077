package tune_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// bench is a tiny model that a test trains.
type bench struct {
	*testing.T
	model  *transformer.Model
	golden *golden.Golden
	config peft.Config
}

func newBench(t *testing.T, b tensor.Backend, c peft.Config) *bench {
	g := golden.Load(t, "llama2")
	return &bench{t, g.Model(t, b), g, c}
}

// job makes a new method and a run of it; the settings can still be changed.
func (b *bench) job(steps int) tune.Job {
	b.Helper()
	m, err := peft.New(b.Context(), b.model, b.config)
	if err != nil {
		b.Fatal(err)
	}
	r, err := b.model.NewRun(transformer.RunOptions{Batch: 2, Length: 40 + m.VirtualTokens(), Train: true, Adapters: []transformer.Adapter{m}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(r.Close(), m.Close()); err != nil {
			b.Error(err)
		}
	})
	return tune.Job{
		Config: tune.Config{Train: peft.TrainConfig{Steps: steps, LR: 5e-3, Schedule: peft.Cosine, Warmup: 2, MaxGradNorm: 1, WeightDecay: 0.01, Seed: 5}},
		Run:    r, Method: m, Data: b.batches,
		Evaluate: func(ctx context.Context) (tune.Score, error) {
			batch, _ := b.golden.Batch("train.3.")
			l, err := peft.Evaluate(ctx, r, func(yield func(transformer.Batch, error) bool) { yield(batch, nil) })
			return tune.ScoreOf(l), err
		},
	}
}

// batches are two of the golden ones for each step, of three that are taken in turn.
func (b *bench) batches(done int) iter.Seq2[[]transformer.Batch, error] {
	return func(yield func([]transformer.Batch, error) bool) {
		for at := done; ; at++ {
			first, _ := b.golden.Batch(fmt.Sprintf("train.%d.", at%3))
			second, _ := b.golden.Batch(fmt.Sprintf("train.%d.", (at+1)%3))
			if !yield([]transformer.Batch{first, second}, nil) {
				return
			}
		}
	}
}

// all runs a job to its end.
func (b *bench) all(ctx context.Context, j tune.Job) []tune.Step {
	b.Helper()
	var steps []tune.Step
	for s, err := range tune.Run(ctx, j) {
		if err != nil {
			b.Fatal(err)
		}
		s.Duration = 0
		steps = append(steps, s)
	}
	return steps
}

// values reads the parameters.
func (b *bench) values(j tune.Job) [][]float32 {
	b.Helper()
	v, err := j.Method.Params().Read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func (b *bench) open(dir string) *tune.Checkpoint {
	b.Helper()
	c, err := tune.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *bench) tensors(dir string) []byte {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "tensors.safetensors"))
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// TestResume makes runs that go on from a checkpoint and are the same as one that was
// never interrupted, to the bit: losses, parameters, the optimizer's state, the best.
func TestResume(t *testing.T) {
	configs := []peft.Config{
		peft.LoRAConfig{Rank: 3, Alpha: 6, Dropout: 0.1, Targets: peft.Named(peft.AllLinear), Seed: 1},
		peft.PTuningConfig{Tokens: 4, Encoder: "LSTM", Hidden: 8, Seed: 2},
		peft.PrefixConfig{Tokens: 3, Projection: true, Hidden: 8, Seed: 3},
	}
	backends.Each(t, func(t *testing.T, backend tensor.Backend) {
		for _, config := range configs {
			for _, optimizer := range peft.Optimizers() {
				if optimizer != peft.AdamW && config.Name() != "lora" {
					continue
				}
				t.Run(config.Name()+"/"+string(optimizer), func(t *testing.T) { testResume(newBench(t, backend, config), optimizer) })
			}
		}
	})
}

func testResume(b *bench, optimizer peft.Optimizer) {
	const steps = 7
	job := func(dir string) tune.Job {
		j := b.job(steps)
		j.Train.Optimizer, j.EvalEvery, j.KeepBest = optimizer, 2, true
		j.Save = tune.Saving{Dir: dir, Every: 3, Keep: 3, Last: true, Facts: []tune.Fact{{Name: "model", Value: "llama2"}}}
		return j
	}
	dir := b.TempDir()
	whole := job(dir)
	want := b.all(b.Context(), whole)
	if len(want) != steps || want[steps-1].Stop != tune.Finished || want[steps-1].Best == nil {
		b.Fatalf("records %+v", want)
	}
	for _, from := range []int{3, 6} {
		again := job(b.TempDir())
		again.Resume = b.open(filepath.Join(dir, fmt.Sprintf("step-%08d", from)))
		if got := b.all(b.Context(), again); !reflect.DeepEqual(got, want[from:]) {
			b.Errorf("from step %d:\n got %+v\nwant %+v", from, got, want[from:])
		}
		if !reflect.DeepEqual(b.values(again), b.values(whole)) {
			b.Errorf("from step %d: other parameters", from)
		}
		if !bytes.Equal(b.tensors(b.open(again.Save.Dir).Dir), b.tensors(b.open(dir).Dir)) {
			b.Errorf("from step %d: another state", from)
		}
	}
}

// TestStops ends runs in every way.
func TestStops(t *testing.T) {
	cpu := tensor.NewCPU(0)
	defer cpu.Close()
	b := newBench(t, cpu, peft.LoRAConfig{Rank: 2, Alpha: 4})
	scores := func(j *tune.Job, losses ...float64) {
		next := 0
		j.EvalEvery = 1
		j.Evaluate = func(context.Context) (tune.Score, error) {
			next++
			return tune.Score{Loss: losses[next-1], Accuracy: losses[next-1]}, nil
		}
	}
	t.Run("patience", func(t *testing.T) {
		j := b.job(9)
		scores(&j, 3, 1, 2, 2, 1, 1)
		j.Patience = 3
		got := b.all(t.Context(), j)
		if last := got[len(got)-1]; len(got) != 5 || last.Stop != tune.Patience || last.Best.Step != 2 || last.Best.Score.Loss != 1 {
			t.Errorf("%d steps, the last %+v", len(got), last)
		}
	})
	t.Run("the best by accuracy", func(t *testing.T) {
		j, short := b.job(4), b.job(4)
		scores(&j, 1, 3, 2, 3)
		j.Metric, j.KeepBest = tune.Accuracy, true
		if got := b.all(t.Context(), j); got[3].Best.Step != 2 {
			t.Errorf("best %+v", got[3].Best)
		}
		for s, err := range tune.Run(t.Context(), short) {
			if err != nil {
				t.Fatal(err)
			}
			if s.Step.Step == 2 {
				break
			}
		}
		if !reflect.DeepEqual(b.values(j), b.values(short)) {
			t.Error("the parameters left are not those after step 2")
		}
	})
	t.Run("no answers", func(t *testing.T) {
		j := b.job(2)
		j.Metric = tune.Exact
		for _, err := range tune.Run(t.Context(), j) {
			if err != nil && !errors.Is(err, peft.ErrConfig) {
				t.Errorf("error %v", err)
			}
		}
	})
	t.Run("time", func(t *testing.T) {
		j := b.job(9)
		j.MaxTime = time.Nanosecond
		if got := b.all(t.Context(), j); len(got) != 1 || got[0].Stop != tune.OutOfTime {
			t.Errorf("%+v", got)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		j := b.job(4)
		j.Save.Dir = filepath.Join(t.TempDir(), "new")
		n := 0
		for s, err := range tune.Run(ctx, j) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 2 {
				cancel()
			}
			if n == 3 && s.Stop != tune.Interrupted || n > 3 {
				t.Errorf("%d steps, stop %q", n, s.Stop)
			}
		}
		if c := b.open(j.Save.Dir); c.Step != 3 {
			t.Errorf("checkpoint of step %d, want 3", c.Step)
		}
	})
}

// TestCheckpoints looks at what is kept, what is refused, and what stays after failures.
func TestCheckpoints(t *testing.T) {
	cpu := tensor.NewCPU(0)
	defer cpu.Close()
	b := newBench(t, cpu, peft.LoRAConfig{Rank: 2, Alpha: 4})
	dir := t.TempDir()
	j := b.job(8)
	j.Save = tune.Saving{
		Dir: dir, Every: 2, Facts: []tune.Fact{{Name: "--lr", Value: "0.1"}, {Name: "data", Value: "abc"}},
		Note: func() (any, error) { return map[string]int{"n": 1}, nil },
	}
	if err := os.Mkdir(filepath.Join(dir, ".gpupeft-123"), 0o700); err != nil { // left by a killed process
		t.Fatal(err)
	}
	b.all(t.Context(), j)
	if names := entries(t, dir); !reflect.DeepEqual(names, []string{"step-00000004", "step-00000006"}) {
		t.Fatalf("left: %v", names)
	}
	c := b.open(dir)
	if c.Step != 6 || string(c.Note) != "{\n    \"n\": 1\n  }" {
		t.Errorf("step %d, note %s", c.Step, c.Note)
	}
	for _, test := range []struct {
		facts []tune.Fact
		want  string
	}{
		{[]tune.Fact{{Name: "--lr", Value: "0.2"}, {Name: "data", Value: "abc"}}, "made with --lr 0.1, this run has 0.2"},
		{[]tune.Fact{{Name: "--lr", Value: "0.1"}, {Name: "data", Value: "abd"}}, "made with data abc, this run has abd"},
		{[]tune.Fact{{Name: "--lr", Value: "0.1"}}, "made with data abc, this run has none"},
		{nil, "made with --lr 0.1"},
		{[]tune.Fact{{Name: "--lr", Value: "0.1"}, {Name: "data", Value: "abc"}, {Name: "--min-lr", Value: "0.1"}}, "made without --min-lr, this run has 0.1"},
	} {
		if err := c.Fits(test.facts); !errors.Is(err, tune.ErrCheckpoint) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v", test.facts, err)
		}
	}
	t.Run("another method", func(t *testing.T) {
		other := newBench(t, cpu, peft.LoRAConfig{Rank: 3, Alpha: 4})
		j := other.job(8)
		j.Save.Facts, j.Resume = []tune.Fact{{Name: "--lr", Value: "0.1"}, {Name: "data", Value: "abc"}}, c
		for _, err := range tune.Run(t.Context(), j) {
			if !errors.Is(err, tune.ErrCheckpoint) || !strings.Contains(err.Error(), "lora_A") {
				t.Errorf("error %v", err)
			}
		}
	})
	t.Run("damage", func(t *testing.T) {
		name := filepath.Join(dir, "step-00000006", "tensors.safetensors")
		data := b.tensors(filepath.Dir(name))
		data[len(data)-1] ^= 1
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tune.Open(filepath.Dir(name)); !errors.Is(err, tune.ErrCheckpoint) {
			t.Errorf("error %v", err)
		}
		if c := b.open(dir); c.Step != 4 {
			t.Errorf("step %d, want the one before", c.Step)
		}
	})
	t.Run("format", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "step-00000004", "state.json"), []byte(`{"format": 99}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tune.Open(filepath.Join(dir, "step-00000004")); !errors.Is(err, tune.ErrCheckpoint) || !strings.Contains(err.Error(), "99") {
			t.Errorf("error %v", err)
		}
		if _, err := tune.Open(dir); !errors.Is(err, tune.ErrCheckpoint) {
			t.Errorf("error %v", err)
		}
		if _, err := tune.Open(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no room", func(t *testing.T) {
		j := b.job(3)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		j.Save = tune.Saving{Dir: file, Every: 1}
		var last error
		for _, err := range tune.Run(t.Context(), j) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "checkpoint of step 1") {
			t.Errorf("error %v", last)
		}
	})
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestDiverged puts NaN into a parameter, a gradient and a weight.
func TestDiverged(t *testing.T) {
	backends.Each(t, func(t *testing.T, backend tensor.Backend) {
		b := newBench(t, backend, peft.LoRAConfig{Rank: 2, Alpha: 4})
		spoil := func(t *testing.T, x *tensor.Tensor, value float32) {
			t.Helper()
			values, err := tensor.Floats(t.Context(), backend, x)
			if err != nil {
				t.Fatal(err)
			}
			old := values[0]
			values[0] = value
			if err := tensor.WriteFloats(t.Context(), backend, x, values); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				values[0] = old
				if err := tensor.WriteFloats(context.Background(), backend, x, values); err != nil {
					t.Error(err)
				}
			})
		}
		fails := func(t *testing.T, j tune.Job, want string) {
			t.Helper()
			before := b.values(j)
			n := 0
			for _, err := range tune.Run(t.Context(), j) {
				if n++; !errors.Is(err, peft.ErrDiverged) || !strings.Contains(err.Error(), "step 1") || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
			if after := b.values(j); n != 1 || !reflect.DeepEqual(fmt.Sprint(before), fmt.Sprint(after)) {
				t.Errorf("%d records; the parameters have changed", n)
			}
		}
		t.Run("parameter", func(t *testing.T) {
			j := b.job(3)
			q := j.Method.Params().List[3]
			spoil(t, q.Value, float32(math.NaN()))
			fails(t, j, q.Name+" holds NaN")
		})
		t.Run("weight", func(t *testing.T) {
			j := b.job(3)
			spoil(t, b.model.Weight("model.norm.weight"), float32(math.Inf(1)))
			fails(t, j, "the model's model.norm.weight holds +Inf")
		})
		t.Run("gradient", func(t *testing.T) {
			j := b.job(3)
			m := j.Method
			tap := func(p *tensor.Pass, s transformer.Site, x *tensor.Tensor) {
				if s.Layer == 0 && s.Point == transformer.V {
					p.Do(tensor.Fill{Out: x, Value: float32(math.NaN())})
				}
			}
			r, err := b.model.NewRun(transformer.RunOptions{
				Batch: 2, Length: 40, Train: true, Adapters: []transformer.Adapter{m},
				Hooks: transformer.Hooks{GradTap: tap},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			j.Run = r
			fails(t, j, "the gradient of")
		})
	})
}

// TestFingerprint tells files from each other.
func TestFingerprint(t *testing.T) {
	sum := func(files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := tune.Fingerprint(os.DirFS(dir), ".")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	seen := map[string]bool{}
	for _, files := range []map[string]string{{"a": "x"}, {"b": "x"}, {"a": "y"}, {"a": "x", "b": ""}, {"a": "", "b": "x"}} {
		if s := sum(files); seen[s] || s != sum(files) || len(s) != 64 {
			t.Errorf("%v: %s", files, s)
		} else {
			seen[s] = true
		}
	}
	dir := t.TempDir()
	large := func(at int64) string { // mostly a hole
		f, err := os.Create(filepath.Join(dir, "large"))
		if err == nil {
			err = f.Truncate(300 << 20)
		}
		if err == nil {
			_, err = f.WriteAt([]byte{1}, at)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		s, err := tune.Fingerprint(os.DirFS(dir), "large")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if first, last := large(0), large(300<<20-1); first == last || first != large(0) {
		t.Errorf("a large file that differs in its first and last byte: %s, %s", first, last)
	}
	if _, err := tune.Fingerprint(os.DirFS(t.TempDir()), "none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// TestAccumulation makes the same step of eight rows, as one batch and as four of two,
// whose numbers of targets differ.
func TestAccumulation(t *testing.T) {
	backends.Each(t, func(t *testing.T, backend tensor.Backend) {
		b := newBench(t, backend, peft.LoRAConfig{Rank: 2, Alpha: 4, Seed: 3})
		var rows transformer.Batch
		for i := range 8 {
			var ids, labels []int32
			for k := range 6 + 4*i {
				id := int32(3 + (7*i+5*k)%40)
				ids, labels = append(ids, id), append(labels, id)
				if k < i {
					labels[k] = transformer.Masked
				}
			}
			rows.IDs, rows.Labels = append(rows.IDs, ids), append(rows.Labels, labels)
		}
		gradient := func(size int) (step peft.Step, grads []float32) {
			m, err := peft.New(t.Context(), b.model, b.config)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for i, q := range m.Params().List { // or the gradient of A is zero
				values := make([]float32, q.Value.Len())
				for k := range values {
					values[k] = float32((k*37+i*11)%19-9) / 64
				}
				if err := tensor.WriteFloats(t.Context(), backend, q.Value, values); err != nil {
					t.Fatal(err)
				}
			}
			r, err := b.model.NewRun(transformer.RunOptions{Batch: size, Length: 40, Train: true, Adapters: []transformer.Adapter{m}})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			trainer, err := peft.NewTrainer(t.Context(), r, m, peft.TrainConfig{Steps: 1, LR: 1e-3})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			var batches []transformer.Batch
			for at := 0; at < 8; at += size {
				batches = append(batches, transformer.Batch{IDs: rows.IDs[at : at+size], Labels: rows.Labels[at : at+size]})
			}
			if step, err = trainer.Step(t.Context(), batches); err != nil {
				t.Fatal(err)
			}
			for _, g := range m.Params().Groups {
				values, err := tensor.Floats(t.Context(), backend, g.Grad)
				if err != nil {
					t.Fatal(err)
				}
				grads = append(grads, values...)
			}
			return step, grads
		}
		one, want := gradient(8)
		four, got := gradient(2)
		if one.Targets != four.Targets || math.Abs(four.Loss-one.Loss) > 1e-6*one.Loss || math.Abs(four.GradNorm-one.GradNorm) > 1e-6*one.GradNorm {
			t.Errorf("four batches of two: %+v, one of eight: %+v", four, one)
		}
		var diff, norm float64
		for i, w := range want {
			d := float64(got[i]) - float64(w)
			diff, norm = diff+d*d, norm+float64(w)*float64(w)
		}
		if e := math.Sqrt(diff / norm); !(e <= 1e-6) {
			t.Errorf("the gradients differ by %.2g", e)
		}
	})
}

// TestAgain goes on from checkpoints of runs that had nothing left but to leave the best,
// or to evaluate.
func TestAgain(t *testing.T) {
	cpu := tensor.NewCPU(0)
	defer cpu.Close()
	b := newBench(t, cpu, peft.LoRAConfig{Rank: 2, Alpha: 4, Seed: 1})
	t.Run("complete", func(t *testing.T) {
		job := func(dir string) tune.Job {
			j := b.job(9)
			losses := []float64{3, 1, 2, 2}
			j.EvalEvery, j.Patience, j.KeepBest = 1, 2, true
			j.Evaluate = func(context.Context) (tune.Score, error) {
				s := tune.Score{Loss: losses[0]}
				losses = losses[1:]
				return s, nil
			}
			j.Save = tune.Saving{Dir: dir, Last: true}
			return j
		}
		dir := t.TempDir()
		first := job(dir)
		want := b.all(t.Context(), first)
		second := job(t.TempDir())
		second.Resume = b.open(dir)
		if got := b.all(t.Context(), second); !second.Resume.Again || !reflect.DeepEqual(got, want[3:]) {
			t.Errorf("got %+v, want %+v", got, want[3:])
		}
		if !reflect.DeepEqual(b.values(first), b.values(second)) {
			t.Error("other parameters")
		}
	})
	t.Run("evaluation", func(t *testing.T) {
		for _, at := range []int{2, 4} { // the last is 4
			whole := b.job(4)
			whole.EvalEvery = 2
			want := b.all(t.Context(), whole)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first := b.job(4)
			first.EvalEvery, first.Save.Dir = 2, t.TempDir()
			evaluate, n := first.Evaluate, 0
			first.Evaluate = func(ctx context.Context) (tune.Score, error) {
				if n += 2; n == at {
					cancel()
					return tune.Score{}, context.Cause(ctx)
				}
				return evaluate(ctx)
			}
			if got := b.all(ctx, first); len(got) != at || got[at-1].Stop != tune.Interrupted {
				t.Fatalf("%+v", got)
			}
			second := b.job(4)
			second.EvalEvery, second.Resume = 2, b.open(first.Save.Dir)
			second.Save.Dir, second.Save.Last = first.Save.Dir, true
			got := b.all(t.Context(), second)
			for i := range got {
				got[i].Duration = 0
			}
			if !second.Resume.Again || !reflect.DeepEqual(got, want[at-1:]) {
				t.Errorf("after the evaluation of step %d was interrupted: %+v, want %+v", at, got, want[at-1:])
			}
			third := b.job(4)
			third.EvalEvery, third.Resume = 2, b.open(first.Save.Dir)
			third.Evaluate = func(context.Context) (tune.Score, error) {
				t.Errorf("the evaluation of step %d isn't in the last checkpoint", at)
				return evaluate(t.Context())
			}
			if got := b.all(t.Context(), third); len(got) != 1 || got[0].Stop != tune.Finished || !reflect.DeepEqual(got[0].Score, want[3].Score) {
				t.Errorf("a run that is complete: %+v", got)
			}
		}
	})
}
