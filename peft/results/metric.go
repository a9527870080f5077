package results

import "strconv"

// Metric is a measure of a model's quality.
type Metric struct {
	Name   string `json:"name"`   // as people read it, and the key of [Trial.Metrics]
	Better Better `json:"better"` // which values are better; "" is Higher
	Share  bool   `json:"share"`  // values are shares, 0 to 1, that are shown in percent
	Digits int    `json:"-"`      // behind the point, of values that aren't shares
}

// Better says which of two values of a metric is the better one.
type Better string

// The two ways.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// The metrics that the program measures.
var (
	Loss       = Metric{Name: "loss", Better: Lower, Digits: 4}
	Perplexity = Metric{Name: "perplexity", Better: Lower, Digits: 2}
	Accuracy   = Metric{Name: "token accuracy", Better: Higher, Share: true}
	Exact      = Metric{Name: "exact match", Better: Higher, Share: true}
	Class      = Metric{Name: "class accuracy", Better: Higher, Share: true}
	Normalized = Metric{Name: "class accuracy by characters", Better: Higher, Share: true}
)

// text writes a value without its unit.
func (m Metric) text(x float64) string {
	switch {
	case !finite(x):
		return "–"
	case m.Share:
		return strconv.FormatFloat(100*x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', m.Digits, 64)
}

// title is the head of a column.
func (m Metric) title() string {
	if m.Share {
		return m.Name + ", %"
	}
	return m.Name
}

// better reports whether a is a better value than b; every number is better than NaN.
func (m Metric) better(a, b float64) bool {
	switch {
	case !finite(a):
		return false
	case !finite(b):
		return true
	case m.Better == Lower:
		return a < b
	}
	return a > b
}

// best reports that none of the values is better than x, and that some are worse.
func (m Metric) best(x float64, all []float64) bool {
	worse := 0
	for _, y := range all {
		if m.better(y, x) {
			return false
		}
		if m.better(x, y) {
			worse++
		}
	}
	return worse > 0
}
