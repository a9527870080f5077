package interp_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestCapture compares captured activations of one full-length sequence with HF.
func TestCapture(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, kind := range golden.Kinds {
			t.Run(kind, func(t *testing.T) {
				g := golden.Load(t, kind)
				m := g.Model(t, b)
				batch, width := g.Batch("")
				before := b.Memory()
				trace, err := interp.Capture(t.Context(), m, batch.IDs[:1], interp.Options{Hooks: []string{"*"}})
				if err != nil {
					t.Fatal(err)
				}
				if after := b.Memory(); after.InUse != before.InUse {
					t.Errorf("%d bytes were kept", after.InUse-before.InUse)
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
	names := func(globs ...string) []string {
		trace, err := interp.Capture(t.Context(), m, [][]int32{{1, 2, 3}}, interp.Options{Hooks: globs})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(trace.Activations))
	}
	for _, c := range []struct{ globs, want []string }{
		{nil, nil},
		{[]string{"hook_embed"}, []string{"hook_embed"}},
		{[]string{"blocks.[02].hook_resid_p*"}, []string{"blocks.0.hook_resid_post", "blocks.0.hook_resid_pre", "blocks.2.hook_resid_post", "blocks.2.hook_resid_pre"}},
		{[]string{"blocks.1.attn.hook_z", "*.1.*pattern"}, []string{"blocks.1.attn.hook_pattern", "blocks.1.attn.hook_z"}},
	} {
		if got := names(c.globs...); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.globs, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		ids   [][]int32
		hooks []string
	}{
		"no sequence":   {nil, nil},
		"empty":         {[][]int32{{}}, nil},
		"ragged":        {[][]int32{{1}, {1, 2}}, nil},
		"no such hook":  {[][]int32{{1}}, []string{"blocks.9.*"}},
		"not this kind": {[][]int32{{1}}, []string{"*q_norm*"}},
		"bad pattern":   {[][]int32{{1}}, []string{"[z-"}},
	} {
		if _, err := interp.Capture(t.Context(), m, c.ids, interp.Options{Hooks: c.hooks}); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
