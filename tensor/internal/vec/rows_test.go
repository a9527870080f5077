package vec

import (
	"math"
	"testing"
)

// TestRows compares every function over rows with its plain form in float64, at lengths around the vectors', and
// checks that nothing behind the rows is written.
func TestRows(t *testing.T) {
	type form struct {
		vector func(rows [][]float32)
		plain  func(rows [][]float64)
		writes int // the leading rows
	}
	forms := map[string]form{
		"ScaleTo":       {func(r [][]float32) { ScaleTo(r[0], r[1], 1.25) }, func(r [][]float64) { PlainScaleTo(r[0], r[1], 1.25) }, 1},
		"Add":           {func(r [][]float32) { Add(r[0], r[1], r[2]) }, func(r [][]float64) { PlainAdd(r[0], r[1], r[2]) }, 1},
		"Normalize":     {func(r [][]float32) { Normalize(r[0], r[1], r[2], 1.25, 1) }, func(r [][]float64) { PlainNormalize(r[0], r[1], r[2], 1.25, 1) }, 1},
		"ScoreGradient": {func(r [][]float32) { ScoreGradient(r[0], r[1], 0.25, 0.125) }, func(r [][]float64) { PlainScoreGradient(r[0], r[1], 0.25, 0.125) }, 1},
		"Gate":          {func(r [][]float32) { Gate(r[0], r[1], r[2]) }, func(r [][]float64) { PlainGate(r[0], r[1], r[2]) }, 1},
		"GateBackward": {
			func(r [][]float32) { GateBackward(r[0], r[1], r[2], r[3], r[4]) },
			func(r [][]float64) { PlainGateBackward(r[0], r[1], r[2], r[3], r[4]) }, 2,
		},
	}
	const rows, guard = 5, 77
	for name, f := range forms {
		for _, n := range lengths {
			var got, guarded [][]float32
			var want [][]float64
			for r := range rows {
				row := append(randomSlice(uint64(r), n), guard)
				wide := make([]float64, n)
				for i := range wide {
					row[i] *= 20
					wide[i] = float64(row[i])
				}
				got, guarded, want = append(got, row[:n:n]), append(guarded, row), append(want, wide)
			}
			f.vector(got)
			f.plain(want)
			for r := range rows {
				for i, w := range want[r] {
					if v := float64(got[r][i]); !(math.Abs(v-w) <= 1e-6*(1+math.Abs(w))) || r >= f.writes && v != w {
						t.Fatalf("%s of %d: row %d at %d: %g, want %g", name, n, r, i, v, w)
					}
				}
				if guarded[r][n] != guard {
					t.Fatalf("%s of %d writes beyond row %d", name, n, r)
				}
			}
		}
	}
}

// TestGateOfExtremes: where e⁻ᵍ overflows or vanishes.
func TestGateOfExtremes(t *testing.T) {
	gates := []float32{-1e30, -200, -90, 90, 200, 1e30, 0, float32(math.NaN())}
	out, up := make([]float32, len(gates)), []float32{1, 1, 1, 1, 1, 1, 1, 1}
	Gate(out, gates, up)
	for i, g := range gates[:7] {
		if want := max(g, 0); !(math.Abs(float64(out[i]-want)) <= 1e-30) {
			t.Errorf("gate %g gives %g, want %g", g, out[i], want)
		}
	}
	if out[7] == out[7] {
		t.Errorf("NaN gives %g", out[7])
	}
}

func TestMax(t *testing.T) {
	for _, n := range lengths[1:] {
		for at := range n {
			x := randomSlice(7, n)
			for i := range x {
				x[i] -= 10
			}
			x[at] = -1
			if got := Max(x); got != -1 {
				t.Fatalf("largest of %d at %d: %g", n, at, got)
			}
			x[at] = float32(math.NaN())
			if got := Max(x); got == got {
				t.Fatalf("NaN at %d of %d gives %g", at, n, got)
			}
		}
	}
	low := float32(math.Inf(-1))
	if got := Max([]float32{low, low, low}); got != low {
		t.Errorf("of -Inf: %g", got)
	}
}
