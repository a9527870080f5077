package interp_test

import (
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/demo"
)

// TestCapture compares captured activations of one full-length sequence with HF, of
// all kinds of models.
func TestCapture(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			t.Run(kind, func(t *testing.T) {
				g := golden.Load(t, kind)
				m := g.Model(t, b)
				batch, width := g.Batch("")
				trace := capture(t, m, batch.IDs[:1], interp.Options{Hooks: []string{"*"}})
				if got, want := len(trace.Activations), len(interp.Hooks(m.Config)); got != want {
					t.Errorf("%d hooks captured of %d", got, want)
				}
				compared := 0
				for name, a := range trace.Activations {
					want, ok := g.Floats[name]
					if !ok {
						continue
					}
					shape := slices.Clone(g.Shape[name])
					shape[0] = 1
					if !slices.Equal(a.Shape, shape) {
						t.Errorf("%s: shape %v, want %v", name, a.Shape, shape)
					}
					golden.Near(t, name, a.Values, want[:len(a.Values)], golden.MaxLogitNMSE)
					compared++
				}
				if compared < 15 {
					t.Errorf("only %d activations compared", compared)
				}
				golden.NearLogits(t, "logits", trace.Logits.Values, g.Floats["logits"][:width*m.Config.VocabSize])
			})
		}
	})
}

func TestHooks(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	names := func(stop int, globs ...string) []string {
		trace := capture(t, m, [][]int32{{1, 2, 3}}, interp.Options{Hooks: globs, StopAtLayer: stop})
		if (len(trace.Logits.Values) == 0) != (stop != 0) {
			t.Errorf("stop at %d: %d logits", stop, len(trace.Logits.Values))
		}
		return slices.Sorted(maps.Keys(trace.Activations))
	}
	for _, c := range []struct {
		stop        int
		globs, want []string
	}{
		{0, nil, nil},
		{0, []string{"hook_embed"}, []string{"hook_embed"}},
		{0, []string{"blocks.[02].hook_resid_p*"}, []string{"blocks.0.hook_resid_post", "blocks.0.hook_resid_pre", "blocks.2.hook_resid_post", "blocks.2.hook_resid_pre"}},
		{0, []string{"blocks.1.attn.hook_z", "*.1.*pattern"}, []string{"blocks.1.attn.hook_pattern", "blocks.1.attn.hook_z"}},
		{0, []string{"unembed*"}, []string{"unembed.hook_in", "unembed.hook_out"}},
		{1, []string{"*_post"}, []string{"blocks.0.hook_resid_post", "blocks.0.mlp.hook_post"}},
		{-1, []string{"*.hook_z"}, []string{"blocks.0.attn.hook_z", "blocks.1.attn.hook_z"}},
	} {
		if got := names(c.stop, c.globs...); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.globs, got, c.want)
		}
	}
}

func TestCaptureErrors(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "mistral").Model(t, b)
	one := [][]int32{{1, 2, 3}}
	trace := capture(t, m, one, interp.Options{Hooks: []string{"*hook_z"}})
	edit := func(e interp.Edit) interp.Options { return interp.Options{Edits: []interp.Edit{e}} }
	for name, c := range map[string]struct {
		ids  [][]int32
		o    interp.Options
		says string
	}{
		"no sequence":       {nil, interp.Options{}, ""},
		"empty":             {[][]int32{{}}, interp.Options{}, ""},
		"ragged":            {[][]int32{{1}, {1, 2}}, interp.Options{}, "1 and 2"},
		"no such hook":      {one, interp.Options{Hooks: []string{"blocks.9.*"}}, "3 layers"},
		"near miss":         {one, interp.Options{Hooks: []string{"blocks.1.attn.hook_patern"}}, "blocks.1.attn.hook_pattern"},
		"not this kind":     {one, interp.Options{Hooks: []string{"*q_norm*"}}, ""},
		"bad pattern":       {one, interp.Options{Hooks: []string{"[z-"}}, "[z-"},
		"beyond stop":       {one, interp.Options{Hooks: []string{"blocks.2.*"}, StopAtLayer: 2}, "2 layers"},
		"stop behind":       {one, interp.Options{StopAtLayer: 4}, ""},
		"stop before":       {one, interp.Options{StopAtLayer: -3}, ""},
		"stop and metric":   {one, interp.Options{StopAtLayer: 1, Metric: interp.Loss(one)}, "metric"},
		"position":          {one, interp.Options{Positions: interp.Of(3)}, "position 3"},
		"edit position":     {one, edit(interp.Edit{Hook: "hook_embed", Positions: interp.Of(3)}), "position 3"},
		"edit sequence":     {one, edit(interp.Edit{Hook: "hook_embed", Sequences: interp.Of(1)}), "sequence 1"},
		"no heads":          {one, edit(interp.Edit{Hook: "hook_embed", Heads: interp.Of(0)}), "none"},
		"head":              {one, edit(interp.Edit{Hook: "*hook_z", Heads: interp.Of(4)}), "has 4"},
		"key head":          {one, edit(interp.Edit{Hook: "*hook_v", Heads: interp.Of(2)}), "has 2"},
		"no keys":           {one, edit(interp.Edit{Hook: "*hook_z", Keys: interp.Of(0)}), "none"},
		"values":            {one, edit(interp.Edit{Hook: "hook_embed", Change: interp.Set(1, 2, 3)}), "3 values"},
		"patch not there":   {one, edit(interp.Edit{Hook: "hook_embed", Change: interp.Patch(trace)}), "captured"},
		"patch of 3 tokens": {[][]int32{{1, 2}}, edit(interp.Edit{Hook: "blocks.0.attn.hook_z", Change: interp.Patch(trace)}), "shape"},
		"loss of one token": {[][]int32{{1}}, interp.Options{Metric: interp.Loss([][]int32{{1}})}, "one token"},
		"wrong answers":     {one, interp.Options{Metric: interp.LogitDiff([]int32{1, 2}, []int32{1, 2})}, ""},
		"no such logit":     {one, interp.Options{Metric: interp.Sum(interp.Term{Position: 3})}, ""},
	} {
		before := b.Memory().InUse
		if _, err := interp.Capture(t.Context(), m, c.ids, c.o); !errors.Is(err, transformer.ErrInput) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
		if b.Memory().InUse != before {
			t.Errorf("%s: memory was kept", name)
		}
	}
	failed := errors.New("failed")
	o := edit(interp.Edit{Hook: "hook_embed", Change: interp.Func(func(string, interp.Activation) error { return failed })})
	if _, err := interp.Capture(t.Context(), m, one, o); !errors.Is(err, failed) {
		t.Errorf("callback: got %v", err)
	}
}

// TestPositions: the kept tokens' values and logits are those of a run that keeps all.
func TestPositions(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.Load(t, "gemma2").Model(t, b)
		ids := [][]int32{{1, 5, 9, 4, 7}, {1, 8, 3, 6, 2}}
		metric := interp.LogitDiff([]int32{3, 4}, []int32{5, 6})
		all := capture(t, m, ids, interp.Options{Hooks: []string{"*"}, Metric: metric})
		some := capture(t, m, ids, interp.Options{Hooks: []string{"*"}, Metric: metric, Positions: interp.Of(1, 4)})
		golden.NearNumber(t, "metric", some.Value, all.Value, 1e-6)
		cut := func(a interp.Activation) (shape []int, values []float32) {
			axis := 1
			if len(a.Shape) == 4 && a.Shape[2] == 5 && a.Shape[3] == 5 {
				axis = 2
			}
			inner := len(a.Values)
			for _, d := range a.Shape[:axis+1] {
				inner /= d
			}
			for row := range len(a.Values) / inner {
				if p := row % 5; p == 1 || p == 4 {
					values = append(values, a.Values[row*inner:(row+1)*inner]...)
				}
			}
			shape = slices.Clone(a.Shape)
			shape[axis] = 2
			return shape, values
		}
		compare := func(what string, got, from interp.Activation) {
			shape, values := cut(from)
			if !slices.Equal(got.Shape, shape) {
				t.Errorf("%s: shape %v, want %v", what, got.Shape, shape)
			}
			within(t, what, got.Values, values, 1e-5)
		}
		compare("logits", some.Logits, all.Logits)
		for name, a := range all.Activations {
			compare(name, some.Activations[name], a)
			compare(name+" gradient", some.Gradients[name], all.Gradients[name])
		}
	})
}

// TestBatch: sequences of a batch don't touch each other, and edits are for those named.
func TestBatch(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			m := golden.Load(t, kind).Model(t, b)
			ids := [][]int32{{1, 5, 9, 4, 7}, {1, 8, 3, 6, 2}}
			edit := interp.Edit{Hook: "blocks.1.hook_resid_mid", Sequences: interp.Of(1), Change: interp.Scale(-2)}
			both := capture(t, m, ids, interp.Options{Hooks: []string{"*"}, Edits: []interp.Edit{edit}})
			edit.Sequences = nil
			first := capture(t, m, ids[:1], interp.Options{Hooks: []string{"*"}})
			second := capture(t, m, ids[1:], interp.Options{Hooks: []string{"*"}, Edits: []interp.Edit{edit}})
			for name, a := range both.Activations {
				want := slices.Concat(first.Activations[name].Values, second.Activations[name].Values)
				withinRows(t, kind+": "+name, a.Values, want, a.Shape[len(a.Shape)-1], 1e-4)
			}
		}
	})
}

// TestChanges: every change is the one that it says, by what follows from it.
func TestChanges(t *testing.T) {
	cpu := tensor.NewCPU(0)
	defer cpu.Close()
	for _, kind := range golden.Kinds {
		t.Run(kind, func(t *testing.T) { testChanges(t, golden.Load(t, kind).Model(t, cpu)) })
	}
	t.Run("gpu", func(t *testing.T) { testChanges(t, golden.Load(t, "gemma2").Model(t, backends.GPU(t))) })
}

func testChanges(t *testing.T, m *transformer.Model) {
	ids, other := [][]int32{{1, 5, 9, 4, 7, 11}}, [][]int32{{1, 8, 3, 6, 2, 12}}
	from := capture(t, m, other, interp.Options{Hooks: []string{"*"}})
	own := capture(t, m, ids, interp.Options{Hooks: []string{"*"}})
	rng := rand.New(rand.NewPCG(1, 2))
	for _, hook := range interp.Hooks(m.Config) {
		x := own.Activations[hook]
		selected := interp.Edit{Hook: hook, Positions: interp.Of(2, 3, 5)}
		direction := make([]float32, x.Shape[len(x.Shape)-1])
		for i := range direction {
			direction[i] = float32(0.2 + 0.1*rng.Float64())
		}
		// What each change makes of the hook, by hand, is set as a whole in a second run.
		for name, c := range map[string]struct {
			change interp.Change
			hand   func(i int, v float32) float32
		}{
			"add":   {interp.Add(direction...), func(i int, v float32) float32 { return v + direction[i%len(direction)] }},
			"set":   {interp.Set(direction...), func(i int, v float32) float32 { return direction[i%len(direction)] }},
			"patch": {interp.Patch(from), func(i int, v float32) float32 { return from.Activations[hook].Values[i] }},
			"func": {interp.Func(func(name string, a interp.Activation) error {
				for i := range a.Values {
					a.Values[i] = 1.5*a.Values[i] + 0.1
				}
				return nil
			}), func(i int, v float32) float32 { return 1.5*v + 0.1 }},
		} {
			e := selected
			e.Change = c.change
			got := capture(t, m, ids, interp.Options{Hooks: []string{hook}, Edits: []interp.Edit{e}})
			hand := slices.Clone(x.Values)
			eachSelected(x.Shape, selected.Positions.Test, func(i int) {
				if x.Values[i] > -1e30 { // scores that are masked stay so
					hand[i] = c.hand(i, x.Values[i])
				}
			})
			withinRows(t, hook+": "+name, got.Activations[hook].Values, hand, len(direction), maxResidual)
			want := capture(t, m, ids, interp.Options{Edits: []interp.Edit{{Hook: hook, Change: interp.Set(finite(hand)...)}}})
			golden.Near(t, hook+": "+name+": logits", got.Logits.Values, want.Logits.Values, 1e-9)
			if d := golden.Distance(got.Logits.Values, own.Logits.Values); !(d > 1e-9) {
				t.Errorf("%s: %s changes nothing (%.2g)", hook, name, d)
			}
		}
	}
}

// finite replaces −∞, which Set leaves alone anyway.
func finite(v []float32) []float32 {
	v = slices.Clone(v)
	for i := range v {
		v[i] = max(v[i], -1e30)
	}
	return v
}

// eachSelected calls f for the places of some tokens in an activation of 6 tokens.
func eachSelected(shape []int, selected func(uint) bool, f func(i int)) {
	axis := 1
	if len(shape) == 4 && shape[2] == 6 && shape[3] == 6 {
		axis = 2
	}
	inner, n := 1, 1
	for d, size := range shape {
		n *= size
		if d > axis {
			inner *= size
		}
	}
	for i := range n {
		if selected(uint(i / inner % 6)) {
			f(i)
		}
	}
}

// TestMean: mean ablation by hand.
func TestMean(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama3").Model(t, b)
	ids := [][]int32{{1, 5, 9, 4}, {1, 8, 3, 6}}
	const hook = "blocks.0.attn.hook_z"
	own := capture(t, m, ids, interp.Options{Hooks: []string{hook}})
	x := own.Activations[hook]
	per := x.Shape[2] * x.Shape[3]
	means := make([]float32, per)
	for i, v := range x.Values {
		means[i%per] += v / float32(len(x.Values)/per)
	}
	edit := func(c interp.Change) *interp.Trace {
		e := interp.Edit{Hook: hook, Heads: interp.Of(1), Change: c}
		return capture(t, m, ids[:1], interp.Options{Edits: []interp.Edit{e}})
	}
	want := edit(interp.Set(means...))
	got := edit(interp.Mean(own)) // over two sequences, for a run of one
	golden.Near(t, "mean of another run", got.Logits.Values, want.Logits.Values, 1e-11)
	both := capture(t, m, ids, interp.Options{Edits: []interp.Edit{{Hook: hook, Heads: interp.Of(1), Change: interp.Mean(nil)}}})
	golden.Near(t, "mean of the run itself", both.Logits.Values[:len(want.Logits.Values)], want.Logits.Values, 1e-11)
}

// TestQuantized: hooks of a packed model are those of the same values unpacked.
func TestQuantized(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, q := range []tensor.DType{tensor.Q8_0, tensor.Q4_0, tensor.NF4} {
			packed, plain := loadQuantized(t, b, q)
			ids := [][]int32{{1, 5, 9, 4, 7, 11}}
			o := interp.Options{
				Hooks: []string{"*"}, Metric: interp.Loss(ids),
				Edits: []interp.Edit{{Hook: "blocks.1.attn.hook_pattern", Heads: interp.Of(2), Change: interp.Scale(0.5)}},
			}
			got, want := capture(t, packed, ids, o), capture(t, plain, ids, o)
			for name, a := range want.Activations {
				withinRows(t, q.String()+": "+name, got.Activations[name].Values, a.Values, a.Shape[len(a.Shape)-1], maxResidual)
				golden.Near(t, q.String()+": "+name+": gradient", got.Gradients[name].Values, want.Gradients[name].Values, maxGradient)
			}
			for name, f := range map[string]func(m *transformer.Model) (interp.Table, error){
				"copying": func(m *transformer.Model) (interp.Table, error) { return interp.Copying(t.Context(), m) },
				"top": func(m *transformer.Model) (interp.Table, error) {
					return interp.CopyingTop(t.Context(), m, 3, []int32{300, 7, 411})
				},
			} {
				got, err := f(packed)
				if err != nil {
					t.Fatal(err)
				}
				want, err := f(plain)
				if err != nil {
					t.Fatal(err)
				}
				withinTable(t, q.String()+": "+name, got, want)
			}
		}
	})
}

// loadQuantized loads the built-in model packed, and what comes out when it is unpacked.
func loadQuantized(t *testing.T, b tensor.Backend, q tensor.DType) (packed, plain *transformer.Model) {
	t.Helper()
	c, err := transformer.Open(demo.Model())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	load := func(c *transformer.Checkpoint, dt tensor.DType) (*transformer.Checkpoint, *transformer.Model) {
		c, err := c.Quantized(dt)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return c, m
	}
	c, packed = load(c, q)
	_, plain = load(c, tensor.F32)
	return packed, plain
}

// TestAdapters: hooks see what adapters do, and the gradient at every hook, also behind an
// edit, is what small changes of it do to the loss. In float64, for that.
func TestAdapters(t *testing.T) {
	b := tensor.NewFloat64()
	defer b.Close()
	for _, kind := range []string{"llama2", "gemma2", "gemma3"} {
		g := golden.Load(t, kind)
		m := g.Model(t, b)
		for _, dir := range []string{"adapter_lora", "adapter_prompt"} {
			t.Run(kind+"/"+dir, func(t *testing.T) {
				a, err := peft.Load(t.Context(), os.DirFS(filepath.Join(g.Dir, dir)), m, peft.LoadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				testAdapter(t, m, a)
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func testAdapter(t *testing.T, m *transformer.Model, a peft.Method) {
	ids := [][]int32{{1, 5, 9, 4, 7, 11}}
	bare := capture(t, m, ids, interp.Options{})
	for _, edits := range [][]interp.Edit{nil, {
		{Hook: "blocks.1.attn.hook_pattern", Heads: interp.Of(1), Change: interp.Scale(0.3)},
		{Hook: "*ln2.hook_scale", Change: interp.Scale(1.1)},
		{Hook: "*hook_mlp_out", Positions: interp.Of(3), Change: interp.Scale(0.8)},
	}} {
		o := interp.Options{Hooks: []string{"*"}, Metric: interp.Loss(ids), Adapters: []transformer.Adapter{a}, Edits: edits}
		with := capture(t, m, ids, o)
		if got, want := len(with.Tokens[0]), len(ids[0])+a.VirtualTokens(); got != want {
			t.Errorf("%d tokens, want %d", got, want)
		}
		text := with.Logits.Values[len(with.Logits.Values)-len(bare.Logits.Values):]
		if golden.Distance(text, bare.Logits.Values) < 1e-4 {
			t.Error("the adapter does nothing")
		}
		tried := 0
		for _, hook := range interp.Hooks(m.Config) {
			if along(t, m, ids, o, hook, with.Activations[hook], with.Gradients[hook]) {
				tried++
			}
		}
		if tried < len(interp.Hooks(m.Config))*9/10 {
			t.Errorf("only %d hooks have a gradient worth trying", tried)
		}
	}
}

// along compares a hook's gradient with the slope of the loss along it, if it has any.
func along(t *testing.T, m *transformer.Model, ids [][]int32, o interp.Options, hook string, x, grad interp.Activation) bool {
	var size, slope float64
	for i, g := range grad.Values {
		slope += float64(g) * float64(g)
		if v := float64(x.Values[i]); v > -1e30 {
			size += v * v
		}
	}
	size, slope = math.Sqrt(size), math.Sqrt(slope)
	eps := 2e-3 * size
	if eps*slope < 1e-4 {
		return false
	}
	loss := func(eps float64) float64 {
		step := make([]float32, len(grad.Values))
		for i, g := range grad.Values {
			step[i] = float32(eps * float64(g) / slope)
		}
		edits := append(slices.Clone(o.Edits), interp.Edit{Hook: hook, Change: interp.Add(step...)})
		v, err := interp.Sweep(t.Context(), m, ids, o.Metric, [][]interp.Edit{edits}, interp.Options{Adapters: o.Adapters})
		if err != nil {
			t.Fatal(err)
		}
		return v[0]
	}
	got := (8*(loss(eps)-loss(-eps)) - (loss(2*eps) - loss(-2*eps))) / (12 * eps)
	if math.Abs(got/slope-1) > 0.01 {
		t.Errorf("%s: the loss has the slope %v, its gradient %v", hook, got, slope)
	}
	return true
}
