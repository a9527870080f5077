package optest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// Run runs all cases on a backend and reports those that differ from the oracle,
// and memory that wasn't given back.
func Run(t *testing.T, b tensor.Backend) {
	t.Helper()
	oracle := tensor.NewFloat64()
	t.Cleanup(func() { closeBackend(t, oracle) })
	before := b.Memory().InUse
	for name, group := range byOperation(Cases()) {
		t.Run(name, func(t *testing.T) {
			for _, c := range group {
				t.Run(strings.TrimPrefix(c.Name, name+"/"), func(t *testing.T) {
					if err := c.Check(t.Context(), b, oracle); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	if after := b.Memory().InUse; after != before {
		t.Errorf("%d bytes in use after all cases, %d before", after, before)
	}
}

func closeBackend(t *testing.T, b tensor.Backend) {
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// byOperation iterates over the cases in groups of the same first name.
func byOperation(cases []Case) func(yield func(string, []Case) bool) {
	return func(yield func(string, []Case) bool) {
		for len(cases) > 0 {
			name := cases[0].operation()
			n := slices.IndexFunc(cases, func(c Case) bool { return c.operation() != name })
			if n < 0 {
				n = len(cases)
			}
			if !yield(name, cases[:n]) {
				return
			}
			cases = cases[n:]
		}
	}
}

// Compare says whether outputs are those wanted, up to an NMSE of tolerance
// each. A NaN in either is an error.
func Compare(got, want []Output, tolerance float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d outputs, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || len(g.Values) != len(w.Values) {
			return fmt.Errorf("%s of %d values, want %s of %d", g.Name, len(g.Values), w.Name, len(w.Values))
		}
		most := tolerance
		if w.Exact {
			most = 0
		}
		if e := nmse(g.Values, w.Values, w.Negligible); !(e <= most) {
			return fmt.Errorf("%s: NMSE %.3g > %g; %s", w.Name, e, most, worst(g.Values, w.Values))
		}
	}
	return nil
}

// NMSE is the mean squared error of got, divided by the mean square of want, or
// by that of negligible numbers (1e-3) if they are more. Infinities must match,
// and don't count; if they don't match, or there is a NaN, it returns NaN.
func NMSE(got, want []float64) float64 { return nmse(got, want, negligible) }

func nmse(got, want []float64, negligible float64) float64 {
	var diff, norm float64
	for i, w := range want {
		g := got[i]
		if math.IsInf(w, 0) && g == w {
			continue
		}
		diff += (g - w) * (g - w)
		norm += w * w
	}
	if math.IsNaN(diff) || math.IsInf(diff, 0) || math.IsInf(norm, 0) {
		return math.NaN()
	}
	if diff == 0 {
		return 0
	}
	return diff / max(norm, float64(len(want))*negligible*negligible)
}

// worst describes the value that is furthest off.
func worst(got, want []float64) string {
	at, most := 0, -1.0
	for i, w := range want {
		d := math.Abs(got[i] - w)
		if got[i] == w {
			d = 0
		}
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		if d > most {
			at, most = i, d
		}
	}
	return fmt.Sprintf("value %d of %d is %v, want %v", at, len(want), got[at], want[at])
}
