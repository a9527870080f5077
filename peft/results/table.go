package results

import (
	"maps"
	"slices"
)

// Trial is one run of an experiment, or a baseline.
type Trial struct {
	Model    string             `json:"model"`
	Data     string             `json:"data"`
	Method   string             `json:"method"`             // with its settings, as far as they differ
	Baseline bool               `json:"baseline,omitempty"` // nothing was trained
	Seed     uint64             `json:"seed"`
	Metrics  map[string]float64 `json:"metrics"`          // by [Metric.Name]; a value that isn't finite is none
	Params   int64              `json:"params,omitempty"` // trained values

	// What the run took; 0: not measured.
	TokensPerS float64 `json:"tokens_per_s,omitempty"`
	PeakBytes  int64   `json:"peak_bytes,omitempty"` // of the device's memory
	Seconds    float64 `json:"seconds,omitempty"`    // of training
}

// Table compares methods, each over several seeds.
type Table struct {
	Title   string   `json:"title"`
	Metrics []Metric `json:"metrics"` // rows are in the order of the first
	Rows    []Row    `json:"rows"`
	Trials  []Trial  `json:"trials"`
}

// Row sums up the trials of a method on a model and a data set.
type Row struct {
	Model      string `json:"model"`
	Data       string `json:"data"`
	Method     string `json:"method"`
	Baseline   bool   `json:"baseline,omitempty"`
	Trials     int    `json:"trials"`
	Metrics    []Stat `json:"metrics"` // as in Table.Metrics
	Params     int64  `json:"params"`
	TokensPerS Stat   `json:"tokens_per_s"`
	PeakBytes  Stat   `json:"peak_bytes"`
	Seconds    Stat   `json:"seconds"`
}

// NewTable sums up trials that have model, data set and method in common. Models and
// data sets stay in the order in which they come; among methods, the best is the first.
func NewTable(title string, metrics []Metric, trials []Trial) *Table {
	trials = slices.Clone(trials)
	for i := range trials {
		trials[i].Metrics = maps.Clone(trials[i].Metrics)
		maps.DeleteFunc(trials[i].Metrics, func(_ string, x float64) bool { return !finite(x) })
	}
	t := &Table{Title: title, Metrics: metrics, Trials: trials}
	for _, g := range grouped(trials, func(r Trial) [2]string { return [2]string{r.Model, r.Data} }) {
		var rows []Row
		for _, same := range grouped(g, func(r Trial) string { return r.Method }) {
			rows = append(rows, newRow(metrics, same))
		}
		slices.SortStableFunc(rows, t.order)
		t.Rows = append(t.Rows, rows...)
	}
	return t
}

// grouped divides a list into those with the same key, in the order of the first of each.
func grouped[T any, K comparable](list []T, key func(T) K) (groups [][]T) {
	place := map[K]int{}
	for _, x := range list {
		at, known := place[key(x)]
		if !known {
			at = len(groups)
			place[key(x)] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], x)
	}
	return groups
}

func newRow(metrics []Metric, trials []Trial) Row {
	first := trials[0]
	r := Row{Model: first.Model, Data: first.Data, Method: first.Method, Baseline: first.Baseline, Trials: len(trials), Params: first.Params}
	stat := func(value func(Trial) (float64, bool)) Stat {
		var values []float64
		for _, t := range trials {
			if x, ok := value(t); ok {
				values = append(values, x)
			}
		}
		return NewStat(values)
	}
	for _, m := range metrics {
		r.Metrics = append(r.Metrics, stat(func(t Trial) (float64, bool) { x, ok := t.Metrics[m.Name]; return x, ok }))
	}
	r.TokensPerS = stat(func(t Trial) (float64, bool) { return t.TokensPerS, t.TokensPerS > 0 })
	r.PeakBytes = stat(func(t Trial) (float64, bool) { return float64(t.PeakBytes), t.PeakBytes > 0 })
	r.Seconds = stat(func(t Trial) (float64, bool) { return t.Seconds, t.Seconds > 0 })
	return r
}

// order puts the better row first.
func (t *Table) order(a, b Row) int {
	if len(t.Metrics) == 0 {
		return 0
	}
	m := t.Metrics[0]
	switch x, y := a.Metrics[0].Mean, b.Metrics[0].Mean; {
	case m.better(x, y):
		return -1
	case m.better(y, x):
		return 1
	}
	return 0
}

// groups are the rows of each model and data set.
func (t *Table) groups() [][]Row {
	return grouped(t.Rows, func(r Row) [2]string { return [2]string{r.Model, r.Data} })
}

// best reports the best mean of a metric among the rows of a group.
func (t *Table) best(metric int, row Row, group []Row) bool {
	var means []float64
	for _, r := range group {
		means = append(means, r.Metrics[metric].Mean)
	}
	return t.Metrics[metric].best(row.Metrics[metric].Mean, means)
}
