package peft_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// documents are texts of different lengths, some with a label on the first token,
// some of another task.
func documents(vocab, tasks int) data.List {
	rng := rand.New(rand.NewPCG(3, 3))
	var list data.List
	for i, n := range []int{9, 2, 14, 5, 1, 7, 11} {
		e := data.Example{IDs: make([]int32, n), Labels: make([]int32, n), Task: i % tasks}
		for t := range n {
			e.IDs[t] = rng.Int32N(int32(vocab))
			e.Labels[t] = e.IDs[t]
			if rng.IntN(4) == 0 {
				e.Labels[t] = transformer.Masked
			}
		}
		e.Labels[n-1] = e.IDs[n-1]
		list = append(list, e)
	}
	return list
}

// lossAndGradients takes one step's batches, and returns the sum of the loss and the
// gradient of all parameters.
func lossAndGradients(t *testing.T, r *transformer.Run, a peft.Method, batches []transformer.Batch) (loss transformer.Loss, grad []float32) {
	t.Helper()
	b := a.Model().Backend()
	p := tensor.Begin(b)
	for _, x := range a.Params().List {
		p.Do(tensor.Fill{Out: x.Grad})
	}
	if err := p.Submit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, batch := range batches {
		if err := r.Forward(t.Context(), r.WithPrompt(batch)); err != nil {
			t.Fatal(err)
		}
		l, err := r.Loss(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		loss = loss.Add(l)
		if err := r.Backward(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range a.Params().List {
		values, err := tensor.Floats(t.Context(), b, x.Grad)
		if err != nil {
			t.Fatal(err)
		}
		grad = append(grad, values...)
	}
	return loss, grad
}

// TestPackingEqualsRows trains every method on documents in packed rows and on each in
// a row of its own: loss and gradients are the same.
func TestPackingEqualsRows(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		eachMethod(t, func(t *testing.T, kind, method string) { testPacking(t, b, kind, method) })
	})
}

func testPacking(t *testing.T, b tensor.Backend, kind, method string) {
	g := golden.LoadTuned(t, filepath.Join("methods", kind, method))
	m := golden.Load(t, kind).Model(t, b)
	a := trainable(t, g, method, m)
	tasks := 1
	if c, ok := a.Config().(peft.MultitaskConfig); ok {
		tasks = c.Tasks
	}
	const length = 20
	list := documents(m.Config.VocabSize, tasks)
	options := transformer.RunOptions{Batch: 1, Length: length + 3*a.VirtualTokens(), Train: true, Adapters: []transformer.Adapter{a}}
	separate, packed := newRun(t, m, options), newRun(t, m, options)
	steps := func(l data.Loader) []transformer.Batch {
		l.Batch, l.Micro = 3, 1 // so many packed rows come out
		if l.Pack == 0 {
			l.Batch = len(list)
		}
		c, err := l.Start(list, data.State{})
		if err != nil {
			t.Fatal(err)
		}
		step, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		return step
	}
	rows := steps(data.Loader{})
	packs := steps(data.Loader{Pack: length + 3*a.VirtualTokens(), Virtual: a.VirtualTokens()})
	if len(packs) > 3 || packs[0].Documents == nil {
		t.Fatalf("%d packed rows", len(packs))
	}
	if a.PrefixTokens() > 0 && m.Config.Layers[0].Window > 0 { // narrower than the longest document and the prefix
		if err := packed.Forward(t.Context(), packs[0]); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("a prefix that a window cuts off: %v", err)
		}
		return
	}
	wantLoss, want := lossAndGradients(t, separate, a, rows)
	loss, grad := lossAndGradients(t, packed, a, packs)
	if loss.Tokens != wantLoss.Tokens || math.Abs(loss.Sum-wantLoss.Sum) > 1e-5*wantLoss.Sum {
		t.Errorf("loss %v over %d targets, in rows of their own %v over %d", loss.Sum, loss.Tokens, wantLoss.Sum, wantLoss.Tokens)
	}
	diff, norm := 0.0, 0.0
	for i := range want {
		d := float64(grad[i]) - float64(want[i])
		diff, norm = diff+d*d, norm+float64(want[i])*float64(want[i])
	}
	if !(math.Sqrt(diff) <= 1e-5*math.Sqrt(norm)) || norm == 0 {
		t.Errorf("gradients differ by %v of their norm", math.Sqrt(diff/norm))
	}
}

// TestDocumentErrors: documents that don't make up their sequence are refused.
func TestDocumentErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama3").Model(t, b)
	r := newRun(t, m, transformer.RunOptions{Batch: 2, Length: 8})
	for i, documents := range [][][]int{{{2, 2}, {3}}, {{5}}, {{5, 0}, {3}}, {{6, -1}, {3}}, {{5}, {}}} {
		batch := transformer.Batch{IDs: [][]int32{{1, 2, 3, 4, 5}, {1, 2, 3}}, Documents: documents}
		if err := r.Forward(t.Context(), batch); err == nil {
			t.Errorf("case %d: documents %v of 5 and 3 tokens are taken", i, documents)
		}
	}
	cached := newRun(t, m, transformer.RunOptions{Batch: 1, Length: 8, Context: 8})
	if err := cached.Forward(t.Context(), transformer.Batch{IDs: [][]int32{{1, 2, 3}}, Documents: [][]int{{1, 2}}}); err == nil {
		t.Error("documents in a run with a cache")
	}
}
