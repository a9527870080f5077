package circuits_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/interp/circuits"
	"github.com/gpupeft/gpupeft/interp/view"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// train trains a task and returns the toy and the losses.
func train(t *testing.T, b tensor.Backend, task circuits.Task, err error) (*transformer.Checkpoint, *transformer.Model, []float64) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	x, err := task.Start(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var losses []float64
	for s, err := range x.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, s.Loss)
	}
	c, err := x.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return c, m, losses
}

// smallMax is learned in a few seconds.
var smallMax = circuits.Max{Numbers: 3, Vocab: 24, Steps: 900, Tests: 5000, Seed: 3}

// TestMax trains a small form, and finds what the large one has in `make circuits`.
func TestMax(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	task, err := smallMax.Task()
	c, m, losses := train(t, b, task, err)
	r, err := smallMax.Inspect(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name        string
		value       float64
		least, most float64
	}{
		{"accuracy", r.Accuracy, 0.97, 1},
		{"without head", r.Ablated, 0, 0.4},
		{"attention on the largest", r.AttentionOnMax, 0.8, 1},
		{"singular values", r.Rank1, 50, 1e9},
		{"slope", r.Slope, 0.5, 10},
		{"order", r.LeastOrder, 0.95, 1},
		{"copying", r.Copying, 0.95, 1},
		{"diagonal", r.Diagonal, 0.7, 1},
		{"range of positions", r.PositionRange / r.QKRange, 0, 0.1},
	} {
		if !(x.value >= x.least && x.value <= x.most) {
			t.Errorf("%s: %v, want %v to %v", x.name, x.value, x.least, x.most)
		}
	}
	checkByHand(t, c, r)
	lists := 0
	for _, g := range r.Gaps {
		lists += g.Lists
	}
	if lists != 5000 || len(losses) != 900 {
		t.Errorf("%d lists, %d losses", lists, len(losses))
	}
	writePage(t, r, losses)
}

// byHand computes the last place's logits of a one-headed toy in double precision, straight
// from the formulas, with the head's share times gain.
func byHand(t *testing.T, c *transformer.Checkpoint, list []int32, gain float64) []float64 {
	t.Helper()
	read := func(name string) (at func(row, col int) float64, rows, cols int) {
		s, ok := c.Tensor(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		data := make([]byte, s.Bytes(0, s.Shape[0]))
		if err := s.Rows(data, 0, s.Shape[0]); err != nil {
			t.Fatal(err)
		}
		values := tensor.Unpack(nil, tensor.F32, data)
		return func(row, col int) float64 { return float64(values[row*s.Shape[1]+col]) }, s.Shape[0], s.Shape[1]
	}
	times := func(name string, x []float64) []float64 { // W·x
		w, rows, cols := read(name)
		y := make([]float64, rows)
		for i := range y {
			for j := range cols {
				y[i] += w(i, j) * x[j]
			}
		}
		return y
	}
	embed, _, width := read("model.embed_tokens.weight")
	place, _, _ := read("model.embed_positions.weight")
	const layer = "model.layers.0.self_attn."
	var stream, k, v [][]float64
	for t, id := range list {
		x := make([]float64, width)
		for i := range x {
			x[i] = embed(int(id), i) + place(t, i)
		}
		stream, k, v = append(stream, x), append(k, times(layer+"k_proj.weight", x)), append(v, times(layer+"v_proj.weight", x))
	}
	last := stream[len(list)-1]
	q := times(layer+"q_proj.weight", last)
	weights, sum := make([]float64, len(list)), 0.0
	for t := range list {
		for i := range q {
			weights[t] += q[i] * k[t][i]
		}
		weights[t] = math.Exp(weights[t] / math.Sqrt(float64(len(q))))
		sum += weights[t]
	}
	z := make([]float64, len(q))
	for t := range list {
		for i := range z {
			z[i] += weights[t] / sum * v[t][i]
		}
	}
	for i, o := range times(layer+"o_proj.weight", z) {
		last[i] += gain * o
	}
	return times("lm_head.weight", last)
}

// checkByHand compares the accuracies with those of formulas, on lists of the same kind.
func checkByHand(t *testing.T, c *transformer.Checkpoint, r *circuits.MaxReport) {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 9))
	best := func(logits []float64) int32 { return int32(slices.Index(logits, slices.Max(logits))) }
	const n = 1000
	right, without := 0.0, 0.0
	for range n {
		list := make([]int32, r.Example.Numbers)
		for i := range list {
			list[i] = rng.Int32N(int32(r.Example.Vocab))
		}
		if best(byHand(t, c, list, 1)) == slices.Max(list) {
			right++
		}
		if best(byHand(t, c, list, 0)) == slices.Max(list) {
			without++
		}
	}
	// Other lists: the difference has a standard error of at most 0.015.
	if d := math.Abs(right/n - r.Accuracy); d > 0.02 {
		t.Errorf("accuracy %v, by hand %v", r.Accuracy, right/n)
	}
	if d := math.Abs(without/n - r.Ablated); d > 0.06 {
		t.Errorf("accuracy without the head %v, by hand %v", r.Ablated, without/n)
	}
	for _, s := range r.Samples {
		if guess := best(byHand(t, c, s.List, 1)); guess != s.Guess {
			t.Errorf("%v: %d, by hand %d", s.List, s.Guess, guess)
		}
	}
}

// writePage makes sure that a report can be drawn.
func writePage(t *testing.T, r circuits.Report, losses []float64) {
	t.Helper()
	var page bytes.Buffer
	if err := view.HTML(&page, r.Page(losses)); err != nil {
		t.Error(err)
	}
	if page.Len() < 20_000 || page.Len() > 1<<20 {
		t.Errorf("a page of %d bytes", page.Len())
	}
	for _, m := range r.Maps() {
		if err := view.PNG(&bytes.Buffer{}, m, view.PNGOptions{}); err != nil {
			t.Errorf("%s: %v", m.Title, err)
		}
	}
	for _, n := range r.Numbers() {
		if math.IsNaN(n.Value) || math.IsInf(n.Value, 0) || n.Expected() != "" {
			t.Errorf("%s: %v, expected %q", n.Name, n.Value, n.Expected()) // only the default sizes have expectations
		}
	}
}

// smallInduction is learned in a few seconds.
var smallInduction = circuits.Induction{Vocab: 16, Length: 16, Width: 32, Steps: 1000, Tests: 500, Seed: 1}

// TestInduction trains a small form, and finds the two heads.
func TestInduction(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	task, err := smallInduction.Task()
	_, m, losses := train(t, b, task, err)
	r, err := smallInduction.Inspect(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name        string
		value       float64
		least, most float64
	}{
		{"accuracy", r.Accuracy, 0.9, 1},
		{"loss of accuracy without the earlier head", r.Accuracy - r.WithoutHead[0][r.Earlier.Head], 0.1, 1},
		{"previous", r.Previous[0][r.Earlier.Head] / r.PreviousBaseline, 1.4, 9},
		{"induction", r.Induction[1][r.Later.Head] / r.InductionBaseline, 3, 99},
		{"matching", r.Matching, 0.5, 1},
		{"copying", r.Copying[1][r.Later.Head], 0.8, 1},
	} {
		if !(x.value >= x.least && x.value <= x.most) {
			t.Errorf("%s: %v, want %v to %v", x.name, x.value, x.least, x.most)
		}
	}
	// The head that composition finds is the one that looks at the token before.
	if best := slices.Index(r.Previous[0], slices.Max(r.Previous[0])); best != r.Earlier.Head {
		t.Errorf("%v composes, L0H%d looks at the token before", r.Earlier, best)
	}
	writePage(t, r, losses)
}

// TestSameOnGPU: a GPU trains the same toys from the same seed.
func TestSameOnGPU(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	gpu := backends.GPU(t)
	for name, make := range map[string]func() (circuits.Task, error){
		"max":       circuits.Max{Steps: 25, Seed: 5}.Task,
		"induction": circuits.Induction{Length: 16, Width: 32, Steps: 25, Seed: 5}.Task,
	} {
		task, err := make()
		_, _, want := train(t, b, task, err)
		_, _, again := train(t, b, task, err)
		if !slices.Equal(want, again) {
			t.Errorf("%s: the seed doesn't say what happens", name)
		}
		_, _, got := train(t, gpu, task, err)
		for i, w := range want {
			if d := math.Abs(got[i]/w - 1); d > 1e-4 {
				t.Errorf("%s: loss of step %d is %v, on the CPU %v", name, i+1, got[i], w)
				break
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for name, make := range map[string]func() (circuits.Task, error){
		"one number":    circuits.Max{Numbers: 1}.Task,
		"odd width":     circuits.Max{Width: 7}.Task,
		"vocabulary":    circuits.Max{Vocab: 5000}.Task,
		"no steps":      circuits.Max{Steps: -1}.Task,
		"few tokens":    circuits.Induction{Vocab: 8, Length: 32}.Task,
		"odd heads":     circuits.Induction{Width: 30, Heads: 2}.Task,
		"short":         circuits.Induction{Length: 7}.Task,
		"batch of none": circuits.Induction{Batch: -1}.Task,
	} {
		if _, err := make(); !errors.Is(err, circuits.ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	b := tensor.NewCPU(0)
	defer b.Close()
	task, err := circuits.Max{Steps: 1, Tests: 10}.Task()
	_, m, _ := train(t, b, task, err)
	if _, err := (circuits.Max{Vocab: 32}).Inspect(t.Context(), m); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("another vocabulary: got %v", err)
	}
	if _, err := (circuits.Induction{}).Inspect(t.Context(), m); !errors.Is(err, transformer.ErrInput) {
		t.Errorf("another example: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (circuits.Max{}).Inspect(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	x, err := task.Start(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(x.Close(), x.Close()); err != nil {
		t.Error("closed twice: ", err)
	}
	config, err := circuits.Max{Width: 3}.Task()
	if err == nil {
		t.Errorf("width 3: %+v", config.Toy)
	}
}

// TestLong trains the examples at their default sizes: all that is expected of them is met, Max in
// under three minutes. GPUPEFT_CIRCUITS is the number of seeds on the CPU; the first is
// trained on the GPU, too.
func TestLong(t *testing.T) {
	seeds, err := strconv.ParseUint(os.Getenv("GPUPEFT_CIRCUITS"), 10, 64)
	if err != nil {
		t.Skip("minutes: make circuits")
	}
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		if b.Info().Kind == "gpu" {
			seeds = 1
		}
		for seed := range seeds {
			m, n := circuits.Max{Seed: seed}, circuits.Induction{Seed: seed}
			long(t, b, "max", 3*time.Minute, m.Task, func(x *transformer.Model) (circuits.Report, error) { return m.Inspect(t.Context(), x) })
			long(t, b, "induction", 10*time.Minute, n.Task, func(x *transformer.Model) (circuits.Report, error) { return n.Inspect(t.Context(), x) })
		}
	})
}

func long(t *testing.T, b tensor.Backend, name string, limit time.Duration, make func() (circuits.Task, error), inspect func(m *transformer.Model) (circuits.Report, error)) {
	t.Helper()
	start := time.Now()
	task, err := make()
	_, m, _ := train(t, b, task, err)
	r, err := inspect(m)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	t.Logf("%s, seed %d: %.0f s", name, task.Seed, took.Seconds())
	if took > limit {
		t.Errorf("%s, seed %d: took %v", name, task.Seed, took)
	}
	for _, n := range r.Numbers() {
		t.Logf("  %-18s %8s  %s", n.Name, circuits.Digits(n.Value), n.Expected())
		if !n.Met() {
			t.Errorf("%s, seed %d: %s is %v, expected %s", name, task.Seed, n.Name, n.Value, n.Expected())
		}
	}
}
