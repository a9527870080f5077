package peft_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// methodKinds are the models that testdata/methods has goldens of.
var methodKinds = []string{"llama3", "mistral", "gemma2"}

// eachMethod calls f for every method and model of testdata/methods.
func eachMethod(t *testing.T, f func(t *testing.T, kind, method string)) {
	for _, kind := range methodKinds {
		dirs, err := filepath.Glob(filepath.Join(golden.Root(), "..", "methods", kind, "*"))
		if err != nil || len(dirs) < 19 {
			t.Fatalf("%d methods of %s, %v", len(dirs), kind, err)
		}
		for _, dir := range dirs {
			t.Run(kind+"/"+filepath.Base(dir), func(t *testing.T) { f(t, kind, filepath.Base(dir)) })
		}
	}
}

// trainable is the method as PEFT trained it: with its encoder, if it has one.
func trainable(t *testing.T, g *golden.Tuned, method string, m *transformer.Model) peft.Method {
	t.Helper()
	s := &peft.State{Config: peft.FullConfig{}, Tensors: map[string]peft.Matrix{}}
	if method != "full" {
		var err error
		if s, err = peft.Read(os.DirFS(g.Dir)); err != nil {
			t.Fatal(err)
		}
		for _, w := range s.Warnings {
			t.Error("warning: ", w)
		}
	}
	if c, ok := s.Config.(peft.LoRAConfig); ok {
		c.PlusRatio = g.Train.PlusRatio
		s.Config = c
	}
	inits := map[string]peft.Matrix{}
	for name, values := range g.Floats {
		if tensor, ok := strings.CutPrefix(name, "init."); ok {
			inits[tensor] = peft.Matrix{Shape: g.Shape[name], Values: values}
		}
	}
	if len(inits) > 0 {
		s.Tensors = inits
	}
	var a peft.Method
	var err error
	if method == "full" {
		a, err = peft.New(t.Context(), m, s.Config)
	} else {
		a, err = s.New(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// withTasks gives the two rows of a batch the tasks that the goldens have, if any.
func withTasks(b transformer.Batch, a peft.Method) transformer.Batch {
	if _, ok := a.Config().(peft.MultitaskConfig); ok {
		b.Tasks = []int{0, 1}
	}
	return b
}

// TestMethods compares logits, loss and the gradient of every parameter with PEFT's.
func TestMethods(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, checkpoint := range []bool{false, true} {
			t.Run(fmt.Sprintf("checkpoint=%v", checkpoint), func(t *testing.T) {
				eachMethod(t, func(t *testing.T, kind, method string) { testMethod(t, b, kind, method, checkpoint) })
			})
		}
	})
}

func testMethod(t *testing.T, b tensor.Backend, kind, method string, checkpoint bool) {
	base, g := golden.Load(t, kind), golden.LoadTuned(t, filepath.Join("methods", kind, method))
	m := base.Model(t, b)
	a := trainable(t, g, method, m)
	batch, width := base.Batch("")
	batch = withTasks(batch, a)
	r := newRun(t, m, transformer.RunOptions{
		Batch: 2, Length: width + a.VirtualTokens(), Train: true, GradCheckpoint: checkpoint,
		Adapters: []transformer.Adapter{a},
	})
	compare(t, b, r, a, base, g, batch, width)
}

// compare checks logits, loss and gradients of a batch.
func compare(t *testing.T, b tensor.Backend, r *transformer.Run, a peft.Method, base *golden.Golden, g *golden.Tuned, batch transformer.Batch, width int) {
	t.Helper()
	golden.NearLogits(t, "logits", realLogits(t, r, batch), golden.Real(g.Floats["logits"], batch, width))
	loss, err := r.Loss(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	golden.NearNumber(t, "loss", loss.Mean(), g.Loss, golden.MaxLossError)
	if err := r.Backward(t.Context(), 1/float32(loss.Tokens)); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, p := range a.Params().List {
		want, ok := g.Floats["grad."+p.Name]
		if !ok {
			continue
		}
		compared++
		got, err := tensor.Floats(t.Context(), b, p.Grad)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(p.Name, "lora_embedding_A") { // kept as a table here
			want = transpose(want, g.Shape["grad."+p.Name])
		}
		golden.Near(t, "gradient of "+p.Name, got, want, golden.MaxGradNMSE)
	}
	for name := range g.Floats {
		if strings.HasPrefix(name, "grad.") {
			compared--
		}
	}
	if compared != 0 {
		var names []string
		for _, p := range a.Params().List {
			names = append(names, p.Name)
		}
		t.Errorf("%d gradients of the goldens aren't among %v", -compared, names)
	}
}

func transpose(v []float32, shape []int) []float32 {
	out := make([]float32, len(v))
	for i := range shape[0] {
		for j := range shape[1] {
			out[j*shape[0]+i] = v[i*shape[1]+j]
		}
	}
	return out
}

// TestMethodTraining follows PEFT's losses over 20 steps.
func TestMethodTraining(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		eachMethod(t, func(t *testing.T, kind, method string) {
			base, g := golden.Load(t, kind), golden.LoadTuned(t, filepath.Join("methods", kind, method))
			m := base.Model(t, b)
			follow(t, base, g, m, trainable(t, g, method, m))
		})
	})
}

// follow trains as the golden was trained.
func follow(t *testing.T, base *golden.Golden, g *golden.Tuned, m *transformer.Model, a peft.Method) {
	t.Helper()
	r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: 20, Train: true, Adapters: []transformer.Adapter{a}})
	data := func(yield func([]transformer.Batch, error) bool) {
		for next := 0; ; next++ {
			batch, _ := base.Batch(fmt.Sprintf("train.%d.", next%4))
			if !yield([]transformer.Batch{withTasks(batch, a)}, nil) {
				return
			}
		}
	}
	n := 0
	for s, err := range peft.Train(t.Context(), r, a, data, peft.TrainConfig{Steps: len(g.Train.Losses), LR: g.Train.LR}) {
		if err != nil {
			t.Fatal(err)
		}
		golden.NearNumber(t, fmt.Sprintf("loss of step %d", s.Step), s.Loss, g.Train.Losses[n], golden.MaxTrainLossError)
		n++
	}
	if n != 20 {
		t.Errorf("%d steps, want 20", n)
	}
}

// TestMethodFiles loads what PEFT has saved, saves it again and loads that: the same
// logits as PEFT's, the same tensors, and the same bytes every time.
func TestMethodFiles(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	eachMethod(t, func(t *testing.T, kind, method string) {
		base, g := golden.Load(t, kind), golden.LoadTuned(t, filepath.Join("methods", kind, method))
		m := base.Model(t, b)
		batch, width := base.Batch("")
		logits := func(a peft.Method) []float32 {
			batch := withTasks(batch, a)
			return realLogits(t, newRun(t, m, transformer.RunOptions{Batch: 2, Length: width + a.VirtualTokens(), Adapters: []transformer.Adapter{a}}), batch)
		}
		a, dirs := trainable(t, g, method, m), [2]string{t.TempDir(), t.TempDir()}
		if method != "full" {
			a = loaded(t, g.Dir, m)
			golden.NearLogits(t, "logits", logits(a), golden.Real(g.Floats["logits"], batch, width))
		}
		for _, dir := range dirs {
			if err := peft.Save(t.Context(), dir, a, peft.SaveOptions{BaseModel: kind}); err != nil {
				t.Fatal(err)
			}
		}
		if method != "full" {
			sameTensors(t, g.Dir, dirs[0])
		}
		if !slices.Equal(logits(loaded(t, dirs[0], m)), logits(a)) {
			t.Error("what was saved gives other logits")
		}
		for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} {
			first, err := os.ReadFile(filepath.Join(dirs[0], name))
			if err != nil {
				t.Fatal(err)
			}
			if second, err := os.ReadFile(filepath.Join(dirs[1], name)); err != nil || !slices.Equal(first, second) {
				t.Errorf("%s differs from one time to the next (%v)", name, err)
			}
		}
	})
}

// sameTensors compares the tensors' names and shapes in two directories, but for the
// copies of the model's own embeddings that PEFT adds to some.
func sameTensors(t *testing.T, theirs, ours string) {
	t.Helper()
	shapes := func(dir string) map[string]string {
		all, _, err := peft.ReadTensors(os.DirFS(dir), "adapter_model.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for name, x := range all {
			if !strings.HasSuffix(name, ".base_layer.weight") {
				out[name] = fmt.Sprint(x.Shape)
			}
		}
		return out
	}
	if want, got := shapes(theirs), shapes(ours); !maps.Equal(want, got) {
		t.Errorf("tensors %v, PEFT has %v", got, want)
	}
}

func loaded(t *testing.T, dir string, m *transformer.Model) peft.Method {
	t.Helper()
	a, err := peft.Load(t.Context(), os.DirFS(dir), m, peft.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// TestMethodCache compares the next token's logits from the cache, token by token, with
// those of a run over the whole text.
func TestMethodCache(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		eachMethod(t, func(t *testing.T, kind, method string) {
			base, g := golden.Load(t, kind), golden.LoadTuned(t, filepath.Join("methods", kind, method))
			m := base.Model(t, b)
			a := trainable(t, g, method, m)
			batch, _ := base.Batch("")
			batch.IDs, batch.Labels = batch.IDs[:1], nil
			whole := newRun(t, m, transformer.RunOptions{Batch: 1, Length: 30, Adapters: []transformer.Adapter{a}})
			cached := newRun(t, m, transformer.RunOptions{Batch: 1, Length: 9, Context: 30, Adapters: []transformer.Adapter{a}})
			want := lastLogits(t, whole, whole.WithPrompt(batch).IDs[0])
			for range 2 { // a second text doesn't see the first
				cached.Reset()
				ids := cached.WithPrompt(batch).IDs[0]
				lastLogits(t, cached, ids[:7])
				for _, id := range ids[7 : len(ids)-1] {
					lastLogits(t, cached, []int32{id})
				}
				golden.NearLogits(t, "logits", lastLogits(t, cached, ids[len(ids)-1:]), want)
			}
		})
	})
}

func lastLogits(t *testing.T, r *transformer.Run, ids []int32) []float32 {
	t.Helper()
	if err := r.Forward(t.Context(), transformer.Batch{IDs: [][]int32{ids}}); err != nil {
		t.Fatal(err)
	}
	logits, err := r.Logits(t.Context(), r.LastRows())
	if err != nil {
		t.Fatal(err)
	}
	return logits
}
