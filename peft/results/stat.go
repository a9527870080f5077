package results

import (
	"encoding/json"
	"math"
)

// Stat sums up values of several runs that differ by their seed.
type Stat struct {
	N        int     `json:"n"` // values that are finite numbers
	Mean     float64 `json:"mean"`
	SD       float64 `json:"sd"` // standard deviation of the sample, with n−1; NaN for fewer than two values
	Min, Max float64
}

// NewStat sums up values. Without any that is finite, all but N are NaN.
func NewStat(values []float64) Stat {
	nan := math.NaN()
	s := Stat{Mean: nan, SD: nan, Min: nan, Max: nan}
	sum, all := 0.0, nothing
	for _, x := range values {
		if finite(x) {
			s.N, sum, all = s.N+1, sum+x, all.with(x)
		}
	}
	if s.N == 0 {
		return s
	}
	s.Mean, s.Min, s.Max = sum/float64(s.N), all.low, all.high
	if s.N > 1 {
		squares := 0.0
		for _, x := range values {
			if finite(x) {
				squares += (x - s.Mean) * (x - s.Mean)
			}
		}
		s.SD = math.Sqrt(squares / float64(s.N-1))
	}
	return s
}

// MarshalJSON writes null for what is NaN.
func (s Stat) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		N    int      `json:"n"`
		Mean *float64 `json:"mean"`
		SD   *float64 `json:"sd"`
		Min  *float64 `json:"min"`
		Max  *float64 `json:"max"`
	}{s.N, number(s.Mean), number(s.SD), number(s.Min), number(s.Max)})
}

// number returns a pointer to a number that JSON can hold, else nil.
func number(x float64) *float64 {
	if !finite(x) {
		return nil
	}
	return &x
}

// text writes the mean and, if there is one, the deviation: "87.5 ± 0.4".
func (s Stat) text(format func(float64) string) string {
	if s.N == 0 {
		return ""
	}
	if math.IsNaN(s.SD) {
		return format(s.Mean)
	}
	return format(s.Mean) + " ± " + format(s.SD)
}
