package interp_test

import (
	"errors"
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

// TestMemoryOfDirect: for Llama-2-7B and 512 tokens, direct logit attribution takes little beside the run: what the
// logits read, and rows of one layer at a time.
func TestMemoryOfDirect(t *testing.T) {
	const tokens, layers, row = 512, 32, 4 * 4096 // bytes
	plain := peakOfLlama(t, func(m *transformer.Model) error {
		r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: tokens, StreamOnly: true})
		return errors.Join(err, r.Close())
	})
	ids := [][]int32{make([]int32, tokens)}
	direct := peakOfLlama(t, func(m *transformer.Model) error {
		_, err := interp.Direct(t.Context(), m, ids, interp.NextTokens(ids), interp.DirectOptions{})
		return err
	})
	const most, kept = 4*tokens*row + 1<<22, 2 * layers * tokens * row // kept: the outputs of all heads and MLPs
	if more := direct - plain; more > most || more > kept/10 {
		t.Errorf("direct logit attribution takes %d bytes more than a run, want at most %d", more, most)
	}
}
