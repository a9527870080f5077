package interp_test

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Tolerances against TransformerLens in float32.
const (
	maxPattern  = 1e-5 // absolute
	maxResidual = 1e-4 // of the row's norm
	maxLogit    = 1e-4 // absolute
	maxGradient = 1e-7 // normalised mean squared error
	maxScore    = 1e-4 // absolute
)

// eachHooked runs a test for each model that TransformerLens has computed, on each backend.
func eachHooked(t *testing.T, f func(t *testing.T, kind string, m *transformer.Model)) {
	eachOf(t, golden.HookedKinds, f)
}

// eachToyToo runs it for toys as well.
func eachToyToo(t *testing.T, f func(t *testing.T, kind string, m *transformer.Model)) {
	eachOf(t, slices.Concat(golden.HookedKinds, golden.ToyKinds), f)
}

func eachOf(t *testing.T, kinds []string, f func(t *testing.T, kind string, m *transformer.Model)) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range kinds {
			t.Run(kind, func(t *testing.T) {
				before := b.Memory()
				m := golden.HookedModel(t, b, kind)
				weights := b.Memory().InUse - before.InUse
				f(t, kind, m)
				if after := b.Memory(); after.InUse != before.InUse+weights {
					t.Errorf("%d bytes were kept", after.InUse-before.InUse-weights)
				}
			})
		}
	})
}

func capture(t *testing.T, m *transformer.Model, ids [][]int32, o interp.Options) *interp.Trace {
	t.Helper()
	trace, err := interp.Capture(t.Context(), m, ids, o)
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

// within compares values one by one, −∞ being equal to itself.
func within(t *testing.T, what string, got, want []float32, limit float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - float64(w)); !(d <= limit) && got[i] != w {
			t.Errorf("%s: value %d is %v, want %v", what, i, got[i], w)
			return
		}
	}
}

// withinRows compares rows by the largest difference relative to the row's norm.
func withinRows(t *testing.T, what string, got, want []float32, width int, limit float64) {
	t.Helper()
	for i := 0; i+width <= len(want) && !t.Failed(); i += width {
		sum := 0.0
		for _, w := range want[i : i+width] {
			if !math.IsInf(float64(w), 0) {
				sum += float64(w) * float64(w)
			}
		}
		within(t, what, got[i:i+width], want[i:i+width], limit*math.Sqrt(sum))
	}
}

// TestHooksAgainstTransformerLens: every hook is there, in its shape, with its values
// and with its gradient.
func TestHooksAgainstTransformerLens(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		g := golden.LoadHooked(t, kind, "hooks")
		ids := [][]int32{g.Tokens}
		trace := capture(t, m, ids, interp.Options{Hooks: []string{"*"}, Metric: interp.Loss(ids)})
		difference := capture(t, m, ids, interp.Options{Hooks: []string{"*hook_z", "*hook_resid_pre"}, Metric: interp.LogitDiff([]int32{5}, []int32{9})})
		within(t, "logits", trace.Logits.Values, g.Floats["logits"], maxLogit)
		compared := 0
		for name, want := range g.Floats {
			if hook, ok := strings.CutPrefix(name, "grad."); ok {
				golden.Near(t, name, trace.Gradients[hook].Values, want, maxGradient)
			} else if hook, ok := strings.CutPrefix(name, "difference."); ok {
				golden.Near(t, name, difference.Gradients[hook].Values, want, maxGradient)
			} else if a, ok := trace.Activations[name]; name != "logits" {
				if shape := g.Shape[name]; !ok || !slices.Equal(a.Shape, shape) {
					t.Errorf("%s: shape %v, want %v", name, a.Shape, shape)
					continue
				}
				if strings.HasSuffix(name, "hook_pattern") {
					within(t, name, a.Values, want, maxPattern)
				} else {
					withinRows(t, name, a.Values, want, a.Shape[len(a.Shape)-1], maxResidual)
				}
				compared++
			}
		}
		counts := map[string]int{"gemma2": 77, "toys/attention": 22, "toys/mlp": 42, "toys/rotary": 35}
		if want := cmp.Or(counts[kind], 65); compared != want {
			t.Errorf("%d hooks compared, want %d", compared, want)
		}
	})
}

// TestEditsAgainstTransformerLens: changing a hook changes the logits, and the gradient
// of the embeddings, as it does there.
func TestEditsAgainstTransformerLens(t *testing.T) {
	eachToyToo(t, func(t *testing.T, kind string, m *transformer.Model) {
		g := golden.LoadHooked(t, kind, "edits")
		ids := [][]int32{g.Tokens}
		base := capture(t, m, ids, interp.Options{})
		last := len(base.Logits.Values) - m.Config.VocabSize
		edits, changes := 0, map[string]float64{}
		for name, want := range g.Floats {
			name, ok := strings.CutSuffix(name, ".logits")
			if !ok {
				continue
			}
			edits++
			how, hook, _ := strings.Cut(name, ".")
			e := interp.Edit{Hook: hook, Change: interp.Scale(0.5)}
			if how == "zero" {
				e.Change, e.Positions, e.Heads = interp.Zero(), tokensFrom(4, uint(len(g.Tokens))), headOne(m.Config, hook)
			}
			trace := capture(t, m, ids, interp.Options{Hooks: []string{"hook_embed"}, Edits: []interp.Edit{e}, Metric: interp.Loss(ids)})
			within(t, name, trace.Logits.Values[last:], want, maxLogit)
			// Halving all of a hook does nothing where a norm follows.
			changes[hook] = max(changes[hook], golden.Distance(trace.Logits.Values[last:], base.Logits.Values[last:]))
			grad, width := trace.Gradients["hook_embed"].Values, m.Config.Hidden
			golden.Near(t, name+": gradient", slices.Concat(grad[2*width:3*width], grad[6*width:7*width]), g.Floats[name+".grad"], maxGradient)
		}
		for hook, d := range changes {
			if !(d > 1e-6) {
				t.Errorf("%s: edits change the logits by no more than %.1g", hook, d)
			}
		}
		counts := map[string]int{"gemma2": 141, "toys/attention": 44, "toys/mlp": 79, "toys/rotary": 70}
		if want := cmp.Or(counts[kind], 123); edits != want {
			t.Errorf("%d edits compared, want %d", edits, want)
		}
	})
}

// tokensFrom is the set of positions [lo, hi).
func tokensFrom(lo, hi uint) *bitset.BitSet {
	set := bitset.New(hi)
	for t := lo; t < hi; t++ {
		set.Set(t)
	}
	return set
}

// headOne is the set of head 1, of key head 0 where there is no other, or nil for a hook without heads.
func headOne(c *transformer.Config, hook string) *bitset.BitSet {
	site, err := transformer.ParseSite(hook)
	if err != nil {
		return nil
	}
	switch site.Point {
	case transformer.K, transformer.RotK, transformer.V:
		return interp.Of(uint(min(1, c.KVHeads-1)))
	case transformer.Q, transformer.RotQ, transformer.Z, transformer.Pattern, transformer.Scores:
		return interp.Of(1)
	}
	return nil
}
