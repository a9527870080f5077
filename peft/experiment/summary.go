package experiment

import "math"

// Row is a line of the table: a method or baseline on a model and dataset, all seeds
// together.
type Row struct {
	Model, Dataset, Method string
	Baseline               bool
	Metrics                map[Metric]Spread
	HeldOut                int     // rows, or tokens of text
	Params                 int     // trained values
	TokensPerS             float64 // mean
	PeakBytes              int64   // the largest
	Seconds                float64 // mean
	Runs, Missing          int     // seeds with and without a result
}

// Spread is a mean over seeds and how far they lie apart.
type Spread struct {
	Mean float64
	Std  float64 // the sample's standard deviation; 0 for one run
	Runs int
}

// spread takes numbers together.
func spread(values []float64) Spread {
	s := Spread{Runs: len(values)}
	for _, v := range values {
		s.Mean += v / float64(len(values))
	}
	if len(values) < 2 {
		return s
	}
	for _, v := range values {
		s.Std += (v - s.Mean) * (v - s.Mean) / float64(len(values)-1)
	}
	s.Std = math.Sqrt(s.Std)
	return s
}

// Summarize makes the rows of a plan of results by Cell.Dir, in the plan's order.
func Summarize(p *Plan, results map[string]Result) []Row {
	var rows []Row
	values := map[Metric][]float64{}
	done := func() {
		if len(rows) == 0 {
			return
		}
		r := &rows[len(rows)-1]
		r.Metrics = map[Metric]Spread{}
		for m, v := range values {
			r.Metrics[m] = spread(v)
		}
		if r.Runs > 0 {
			r.TokensPerS /= float64(r.Runs)
			r.Seconds /= float64(r.Runs)
		}
		values = map[Metric][]float64{}
	}
	for _, c := range p.Cells() {
		if last := len(rows) - 1; last < 0 || rows[last].Model != c.Model || rows[last].Dataset != c.Dataset || rows[last].Method != c.Method || rows[last].Baseline != c.Baseline {
			done()
			rows = append(rows, Row{Model: c.Model, Dataset: c.Dataset, Method: c.Method, Baseline: c.Baseline})
		}
		r := &rows[len(rows)-1]
		result, ok := results[c.Dir()]
		if !ok {
			r.Missing++
			continue
		}
		r.Runs++
		r.HeldOut, r.Params, r.PeakBytes = result.HeldOut, result.Params, max(r.PeakBytes, result.PeakBytes)
		r.TokensPerS += result.TokensPerS
		r.Seconds += result.Seconds
		for m, v := range result.Metrics {
			values[m] = append(values[m], v)
		}
	}
	done()
	return rows
}
