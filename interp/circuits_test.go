package interp_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestFullCircuits: the tables say what the model computes, token by token, when all else is
// held still by edits.
func TestFullCircuits(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.HookedModel(t, b, "toys/attention")
		const head, vocab = 2, 17
		c, err := interp.FullCircuits(t.Context(), m, 0, head, 1)
		if err != nil {
			t.Fatal(err)
		}
		var pairs, same [][]int32
		for key := range int32(vocab) {
			same = append(same, []int32{key, key})
			for query := range int32(vocab) {
				pairs = append(pairs, []int32{key, query})
			}
		}
		scores := capture(t, m, pairs, interp.Options{Hooks: []string{"blocks.0.attn.hook_attn_scores"}}).Activations["blocks.0.attn.hook_attn_scores"]
		for i, p := range pairs {
			key, query := p[0], p[1]
			got := c.QK[query][key] + c.Position[query][0]
			if want := scores.Values[(i*m.Config.Heads+head)*4+2]; math.Abs(float64(got-want)) > 1e-5 {
				t.Fatalf("score of query %d and key %d: %v, want %v", query, key, got, want)
			}
		}
		silent := func(heads ...uint) []interp.Edit {
			return []interp.Edit{{Hook: "blocks.0.attn.hook_z", Heads: interp.Of(heads...), Change: interp.Zero()}, {Hook: "blocks.1.attn.hook_z", Change: interp.Zero()}}
		}
		none := capture(t, m, same, interp.Options{Edits: silent(0, 1, 2, 3)}).Logits
		// Looking at both places alike, the head sees the token at the mean position.
		alike := append(silent(0, 1, 3), interp.Edit{Hook: "blocks.0.attn.hook_pattern", Positions: interp.Of(1), Change: interp.Set(0.5)})
		one := capture(t, m, same, interp.Options{Edits: alike}).Logits
		for token := range vocab {
			for next := range vocab {
				i := (token*2+1)*vocab + next
				if d := math.Abs(float64(c.Direct[token][next] - none.Values[i])); d > 1e-5 {
					t.Fatalf("direct path of %d to %d: %v, want %v", token, next, c.Direct[token][next], none.Values[i])
				}
				if want := one.Values[i] - none.Values[i]; math.Abs(float64(c.OV[token][next]-want)) > 1e-5 {
					t.Fatalf("OV of %d to %d: %v, want %v", token, next, c.OV[token][next], want)
				}
			}
		}
		for name, bad := range map[string][3]int{"layer": {2, 0, 0}, "head": {0, 4, 0}, "position": {0, 0, 12}} {
			if _, err := interp.FullCircuits(t.Context(), m, bad[0], bad[1], bad[2]); !errors.Is(err, transformer.ErrInput) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// TestKeyCircuit: the table is what queries of a model without earlier heads make of how keys
// change when one earlier head looks at a token.
func TestKeyCircuit(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.HookedModel(t, b, "toys/attention")
		const vocab, earlier, later, last = 17, 1, 3, 11
		table, err := interp.KeyCircuit(t.Context(), m, interp.HeadAt{Layer: 0, Head: earlier}, interp.HeadAt{Layer: 1, Head: later}, last)
		if err != nil {
			t.Fatal(err)
		}
		var same [][]int32 // a head that looks at all places alike sees the token at the mean position
		for token := range int32(vocab) {
			same = append(same, slices.Repeat([]int32{token}, last+1))
		}
		run := func(silent ...uint) *interp.Trace {
			return capture(t, m, same, interp.Options{Hooks: []string{"blocks.1.attn.hook_q", "blocks.1.attn.hook_k"}, Edits: []interp.Edit{
				{Hook: "blocks.0.attn.hook_pattern", Heads: interp.Of(earlier), Positions: interp.Of(last), Change: interp.Set(1.0 / (last + 1))},
				{Hook: "blocks.0.attn.hook_z", Heads: interp.Of(silent...), Change: interp.Zero()},
			}})
		}
		with, without := run(0, 2, 3), run(0, 1, 2, 3)
		h := m.Config.HeadDim
		at := func(t *interp.Trace, name string, token int) []float32 {
			return t.Activations["blocks.1.attn."+name].Values[((token*(last+1)+last)*m.Config.Heads+later)*h:][:h]
		}
		for query := range vocab {
			for key := range vocab {
				want := float32(0)
				for i, q := range at(without, "hook_q", query) {
					want += q * (at(with, "hook_k", key)[i] - at(without, "hook_k", key)[i]) * m.Config.AttnScale
				}
				if got := table[query][key]; math.Abs(float64(got-want)) > 1e-5 {
					t.Fatalf("query %d, token %d: %v, want %v", query, key, got, want)
				}
			}
		}
		if _, err := interp.KeyCircuit(t.Context(), m, interp.HeadAt{Layer: 1}, interp.HeadAt{Layer: 1}, last); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("of one layer: got %v", err)
		}
	})
}

// TestFullCircuitsShared: a head reads its own key head, and has no table of positions where
// there are none.
func TestFullCircuitsShared(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	var values [][]float32
	for head := range m.Config.Heads {
		c, err := interp.FullCircuits(t.Context(), m, 0, head, 3)
		if err != nil {
			t.Fatal(err)
		}
		if c.Position != nil {
			t.Error("positions of a rotary embedding")
		}
		singular, err := interp.SingularValues(c.OV)
		if err != nil {
			t.Fatal(err)
		}
		if beyond := singular[m.Config.HeadDim]; beyond > 1e-4*singular[0] {
			t.Errorf("head %d: singular value %v beyond the head's dimension, the first is %v", head, beyond, singular[0])
		}
		values = append(values, c.OV[5])
	}
	if golden.Distance(values[0], values[1]) < 1e-3 {
		t.Error("two heads have the same circuit")
	}
}

func TestSingularValues(t *testing.T) {
	got, err := interp.SingularValues([][]float32{{3, 0, 0}, {0, -4, 0}})
	if err != nil || len(got) != 2 || math.Abs(got[0]-4) > 1e-12 || math.Abs(got[1]-3) > 1e-12 {
		t.Errorf("got %v, %v, want 4 and 3", got, err)
	}
	for _, bad := range [][][]float32{nil, {{}}, {{1, 2}, {3}}} {
		if _, err := interp.SingularValues(bad); !errors.Is(err, transformer.ErrInput) {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}
