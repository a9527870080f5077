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
