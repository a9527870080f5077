package interp_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// TestDirectWithAdapters compares the sums that a run forward gives with a pass forward and back. Adapters on
// the direct path leave Direct the latter; the shares then sum to the logits, too.
func TestDirectWithAdapters(t *testing.T) {
	eachHooked(t, func(t *testing.T, _ string, m *transformer.Model) {
		ids := [][]int32{{1, 5, 9, 4, 7, 5}, {1, 8, 8, 3, 9, 2}}
		terms := append(interp.NextTokens(ids), interp.Term{Sequence: 1, Position: -1, Token: 11, Weight: -2}, interp.Term{Position: -1, Token: 3, Weight: 0.5})
		for name, config := range map[string]peft.Config{
			"nothing":   nil,
			"prompt":    peft.PromptConfig{},
			"q, v":      peft.LoRAConfig{},
			"norms":     peft.LayerNormConfig{},
			"o":         peft.LoRAConfig{Targets: peft.Named("o_proj")},
			"unembed":   peft.LoRAConfig{Targets: peft.Named("lm_head")},
			"sublayers": peft.SeqBn(),
		} {
			var o interp.DirectOptions
			if config != nil {
				x := tuned(t, m, config)
				defer x.Close()
				o.Adapters = []transformer.Adapter{x}
			}
			got, err := interp.Direct(t.Context(), m, ids, terms, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want, err := interp.DirectByGradient(t.Context(), m, ids, terms, o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			numbers := func(a *interp.Attribution) []float64 {
				return append(slices.Concat(a.Heads...), append(a.MLPs, a.Embed, a.Positions, a.Logit)...)
			}
			w := numbers(want)
			for i, v := range numbers(got) {
				if d := math.Abs(v - w[i]); !(d <= maxScore*max(1, math.Abs(w[i]))) {
					t.Errorf("%s: share %d is %v, want %v", name, i, v, w[i])
				}
			}
			if d := math.Abs(got.Sum() - got.Logit); name != "sublayers" && !(d <= 1e-5*max(1, math.Abs(got.Logit))) {
				t.Errorf("%s: shares sum to %v, the logits to %v", name, got.Sum(), got.Logit)
			}
		}
	})
}
