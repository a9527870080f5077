package interp_test

import (
	"math"
	"testing"

	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/transformer"
)

// scores is testdata/interp/KIND/scores.json.
type scores struct {
	Tokens      [][]int32
	Other       [][]int32
	Scores      map[string]interp.Table
	Composition map[string][][][][]float64
	Direct      struct {
		DLA   interp.Table
		MLP   []float64
		Embed float64
		Logit float64
	}
	Effects struct {
		Loss, Clean, Corrupted         float64
		Ablation, Attribution, Patched interp.Table
	}
}

// period is REPEAT of testdata/interp/generate.py.
const period = 5

func loadScores(t *testing.T, kind string) *scores {
	t.Helper()
	s := &scores{}
	golden.LoadScores(t, kind, s)
	return s
}

// withinTable compares the scores of all heads.
func withinTable(t *testing.T, name string, got, want interp.Table) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d layers, want %d", name, len(got), len(want))
		return
	}
	for l := range want {
		for h, w := range want[l] {
			if d := math.Abs(got[l][h] - w); !(d <= maxScore) {
				t.Errorf("%s: L%dH%d is %v, want %v", name, l, h, got[l][h], w)
				return
			}
		}
	}
}

// TestPatternsAgainstTransformerLens compares every score of attention patterns.
func TestPatternsAgainstTransformerLens(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		want := loadScores(t, kind)
		got, err := interp.Patterns(t.Context(), m, want.Tokens, interp.PatternOptions{Period: period, BOS: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{interp.Previous, interp.Current, interp.BOS, interp.BOSArena, interp.Duplicate, interp.Induction,
			interp.InductionArena, interp.InductionText, interp.PreviousMul, interp.PreviousAbs, interp.DuplicateMul, interp.DuplicateAbs,
			interp.InductionMul, interp.InductionAbs, interp.Entropy, interp.EntropyNormalized, interp.Locality} {
			withinTable(t, name, got.Scores[name], want.Scores[name])
		}
	})
}

// TestDirectAgainstTransformerLens: shares are right, and sum to the logits.
func TestDirectAgainstTransformerLens(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		want := loadScores(t, kind).Direct
		ids := [][]int32{golden.LoadHooked(t, kind, "hooks").Tokens}
		got, err := interp.Direct(t.Context(), m, ids, interp.NextTokens(ids), interp.DirectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		withinTable(t, "heads", got.Heads, want.DLA)
		withinTable(t, "MLPs", interp.Table{got.MLPs}, interp.Table{want.MLP})
		withinTable(t, "rest", interp.Table{{got.Embed, got.Logit}}, interp.Table{{want.Embed, want.Logit}})
		const maxSum = 1e-5
		for position := range ids[0] {
			terms := []interp.Term{{Position: position, Token: 7, Weight: 1}, {Position: position, Token: 11, Weight: -1}}
			a, err := interp.Direct(t.Context(), m, ids, terms, interp.DirectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(a.Sum() - a.Logit); !(d <= maxSum*max(1, math.Abs(a.Logit))) {
				t.Errorf("position %d: shares sum to %v, the logits to %v", position, a.Sum(), a.Logit)
			}
		}
	})
}

// TestEffectsAgainstTransformerLens: ablation, patching, and its estimate.
func TestEffectsAgainstTransformerLens(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		s := loadScores(t, kind)
		clean, other, want := [][]int32{golden.LoadHooked(t, kind, "hooks").Tokens}, s.Other, s.Effects
		metric := interp.LogitDiff([]int32{5}, []int32{9})
		base := capture(t, m, clean, interp.Options{Metric: interp.Loss(clean)})
		golden.NearNumber(t, "loss", base.Value, want.Loss, golden.MaxLossError)
		for name, c := range map[string]struct {
			want interp.Table
			got  func() (interp.Table, error)
		}{
			"ablation": {want.Ablation, func() (interp.Table, error) {
				return interp.Ablation(t.Context(), m, clean, interp.Loss(clean), interp.Zero(), interp.Options{})
			}},
			"patched": {want.Patched, func() (interp.Table, error) {
				return interp.PatchHeads(t.Context(), m, clean, other, metric, interp.Options{})
			}},
			"attribution": {want.Attribution, func() (interp.Table, error) {
				return interp.AttributionPatch(t.Context(), m, clean, other, metric, interp.Options{})
			}},
		} {
			got, err := c.got()
			if err != nil {
				t.Fatal(err)
			}
			withinTable(t, name, got, c.want)
		}
	})
}

// TestWeightsAgainstTransformerLens: copying and composition.
func TestWeightsAgainstTransformerLens(t *testing.T) {
	eachHooked(t, func(t *testing.T, kind string, m *transformer.Model) {
		want := loadScores(t, kind)
		for name, f := range map[string]func() (interp.Table, error){
			"copying":          func() (interp.Table, error) { return interp.Copying(t.Context(), m) },
			"copying_residual": func() (interp.Table, error) { return interp.CopyingResidual(t.Context(), m) },
			"copying_top1":     func() (interp.Table, error) { return interp.CopyingTop(t.Context(), m, 1, nil) },
			"copying_top5":     func() (interp.Table, error) { return interp.CopyingTop(t.Context(), m, 5, nil) },
		} {
			got, err := f()
			if err != nil {
				t.Fatal(err)
			}
			withinTable(t, name, got, want.Scores[name])
		}
		c, err := interp.Composition(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string][][][][]float64{"q": c.Q, "k": c.K, "v": c.V} {
			for l := range got {
				for h := range got[l] {
					withinTable(t, name+"-composition", got[l][h], want.Composition[name][l][h])
				}
			}
		}
	})
}
