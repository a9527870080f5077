package interp_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// openSmolLM2 loads SmolLM2-135M-Instruct in Q4_1, which isn't in the repository.
func openSmolLM2(t *testing.T) (*transformer.Model, *tokenizer.Tokenizer) {
	t.Helper()
	dir := filepath.Join("..", "out", "smollm2")
	if _, err := os.Stat(filepath.Join(dir, "model.gguf")); err != nil {
		if os.Getenv("GPUPEFT_REQUIRE_SMOLLM2") == "1" {
			t.Fatal(err)
		}
		t.Skip("the real model is not here: make smollm2 gets it")
	}
	c, err := transformer.OpenGGUF(os.DirFS(dir), "model.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tok, err := tokenizer.FromGGUF(c.GGUF)
	if err != nil {
		t.Fatal(err)
	}
	b := tensor.NewCPU(0)
	t.Cleanup(func() { b.Close() })
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, tok
}

// TestSmolLM2Heads: a real model has previous-token, induction and duplicate-token heads, far from
// the baseline.
func TestSmolLM2Heads(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model")
	}
	m, _ := openSmolLM2(t)
	ids := interp.RepeatedTokens(m.Config, 2, 40, 1, []int32{0, 2}, 5)
	s, err := interp.Patterns(t.Context(), m, ids, interp.PatternOptions{Period: 40, BOS: true})
	if err != nil {
		t.Fatal(err)
	}
	h := &interp.Heads{Scores: s.Scores, Baseline: s.Baseline}
	for name, least := range map[string]float64{interp.Previous: 0.7, interp.Induction: 0.6, interp.Duplicate: 0.5} {
		for _, top := range h.Top(name, 2, nil, nil) {
			t.Logf("%s: L%dH%d %.3f, baseline %.3f", name, top.Layer, top.Head, top.Score, top.Baseline)
			if top.Score < least || top.Baseline > 0.1 {
				t.Errorf("%s: L%dH%d has %.3f, want at least %v; baseline %.3f", name, top.Layer, top.Head, top.Score, least, top.Baseline)
			}
		}
	}
}

// TestSmolLM2Names: whose name comes next (Wang et al. 2022, arXiv 2211.00593): the head that adds
// most to the right name's logit is missed when it is taken out.
func TestSmolLM2Names(t *testing.T) {
	if testing.Short() {
		t.Skip("a real model")
	}
	m, tok := openSmolLM2(t)
	encode := func(text string) []int32 {
		ids, err := tok.Encode(text, false)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	ids := [][]int32{encode("When Mary and John went to the store, John gave a drink to")}
	right, wrong := encode(" Mary"), encode(" John")
	if len(right) != 1 || len(wrong) != 1 {
		t.Fatalf("names of %d and %d tokens", len(right), len(wrong))
	}
	terms := []interp.Term{{Position: -1, Token: right[0], Weight: 1}, {Position: -1, Token: wrong[0], Weight: -1}}
	a, err := interp.Direct(t.Context(), m, ids, terms, interp.DirectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Logit < 1 {
		t.Errorf("the right name's logit is higher by %.2f only", a.Logit)
	}
	if d := a.Sum() - a.Logit; d > 1e-4 || d < -1e-4 {
		t.Errorf("shares sum to %v, the logits to %v", a.Sum(), a.Logit)
	}
	mover := (&interp.Heads{Scores: map[string]interp.Table{interp.DirectScore: a.Heads}}).Top(interp.DirectScore, 1, nil, nil)[0]
	without := []interp.Edit{{Hook: transformer.Site{Layer: mover.Layer, Point: transformer.Z}.String(), Heads: interp.Of(uint(mover.Head)), Change: interp.Zero()}}
	values, err := interp.Sweep(t.Context(), m, ids, interp.Sum(terms...), [][]interp.Edit{nil, without}, interp.Options{Positions: interp.Of(uint(len(ids[0]) - 1))})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("L%dH%d adds %.2f to a difference of %.2f; without it, %.2f", mover.Layer, mover.Head, mover.Score, values[0], values[1])
	if mover.Score < 1 || values[1] > values[0]-1 {
		t.Errorf("L%dH%d adds %.2f; the difference is %.2f, without it %.2f", mover.Layer, mover.Head, mover.Score, values[0], values[1])
	}
}
