package circuits

import (
	"fmt"
	"math"
	"strings"

	"github.com/gpupeft/gpupeft/interp/view"
)

// Report is what an example shows of a trained toy.
type Report interface {
	// Numbers are the findings.
	Numbers() []Number
	// Maps are the tables behind them, by name, to be drawn.
	Maps() []view.Matrix
	// Remarks say what isn't perfect, and why.
	Remarks() []string
	// Page tells it all. The losses of the training are optional.
	Page(losses []float64) view.Page
}

// Number is a finding.
type Number struct {
	Name  string
	About string
	Value float64
	// Expected is the range of what the example is known to give at its default sizes; equal
	// bounds mean that nothing is expected.
	Least, Most float64
}

// Met says whether the value is as expected.
func (n Number) Met() bool { return n.Least == n.Most || n.Value >= n.Least && n.Value <= n.Most }

// Expected is the range in words, "" without one.
func (n Number) Expected() string {
	switch {
	case n.Least == n.Most:
		return ""
	case math.IsInf(n.Most, 1):
		return fmt.Sprintf("at least %v", n.Least)
	case math.IsInf(n.Least, -1):
		return fmt.Sprintf("at most %v", n.Most)
	}
	return fmt.Sprintf("%v to %v", n.Least, n.Most)
}

// atLeast and atMost add what is expected of a number.
func (n Number) atLeast(v float64) Number { n.Least, n.Most = v, math.Inf(1); return n }

func (n Number) atMost(v float64) Number { n.Least, n.Most = math.Inf(-1), v; return n }

// table is the section of a page with the numbers.
func table(numbers []Number) view.Table {
	t := view.Table{Title: "Findings", Columns: []string{"what", "value", "expected"}}
	var meanings []string
	for _, n := range numbers {
		t.Rows = append(t.Rows, []string{n.Name, Digits(n.Value), n.Expected()})
		meanings = append(meanings, n.Name+": "+n.About)
	}
	t.About = strings.Join(meanings, ". ") + "."
	return t
}

// Digits writes a number with four significant digits.
func Digits(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e6:
		return fmt.Sprintf("%.0f", v)
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// maxPoints is how many points a curve has.
const maxPoints = 150

// curve is the section of a page with the losses, the mean over a few steps a point.
func curve(losses []float64) []view.Section {
	if len(losses) == 0 {
		return nil
	}
	per := (len(losses) + maxPoints - 1) / maxPoints
	l := view.Lines{Title: "Training", About: "Cross-entropy in nats, on data that is fresh in each step.", XName: "step", YName: "loss"}
	var values []float32
	for lo := 0; lo < len(losses); lo += per {
		sum, hi := 0.0, min(lo+per, len(losses))
		for _, v := range losses[lo:hi] {
			sum += v
		}
		l.X, values = append(l.X, fmt.Sprint(hi)), append(values, float32(sum/float64(hi-lo)))
	}
	l.Series = []view.Series{{Name: "loss", Values: values}}
	return []view.Section{l}
}

// ids writes tokens.
func ids(tokens []int32) []string {
	var names []string
	for _, id := range tokens {
		names = append(names, fmt.Sprint(id))
	}
	return names
}
