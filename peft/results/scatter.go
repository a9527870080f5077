package results

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Scatter draws the first metric of each method over its trained values, one figure for
// each model and data set: bars are standard deviations, a light line joins what no other
// method beats with as few values, the best baseline, and
// those that are as good as any method, are dashed lines. Where nothing was trained or
// measured, there is no figure.
func (t *Table) Scatter() (figures []*Figure) {
	for _, group := range t.groups() {
		if f := t.scatter(group); f != nil {
			f.Title = t.name(group[0])
			figures = append(figures, f)
		}
	}
	return figures
}

func (t *Table) scatter(group []Row) *Figure {
	if len(t.Metrics) == 0 {
		return nil
	}
	m := t.Metrics[0]
	percents := 1.0
	if m.Share {
		percents = 100
	}
	dots := Series{Look: Dots}
	rules := Series{Look: Rule, Color: colors - 1}
	f := &Figure{X: Axis{Label: "trained values", Log: true, Format: counted}}
	for _, r := range group {
		s := r.Metrics[0]
		switch {
		case s.N == 0:
		case r.Baseline || r.Params == 0:
			rules.Y, rules.Labels = append(rules.Y, percents*s.Mean), append(rules.Labels, r.Method)
		default:
			dots.X, dots.Y = append(dots.X, float64(r.Params)), append(dots.Y, percents*s.Mean)
			dots.Spread, dots.Labels = append(dots.Spread, percents*s.SD), append(dots.Labels, r.Method)
			f.marks = append(f.marks, mark{
				at: float64(r.Params), panel: []markDot{{0, percents * s.Mean, 0}},
				Text: fmt.Sprintf("%s\n%s %s\n%s trained values", r.Method, m.title(), s.text(m.text), thousands(r.Params)),
			})
		}
	}
	if len(dots.X) == 0 {
		return nil
	}
	rules.Y, rules.Labels = m.near(spanOf(dots.Y), rules)
	front := t.front(dots)
	f.Panels = []Panel{{Y: Axis{Label: m.title()}, Series: []Series{front, rules, dots}}}
	return f
}

// near keeps the best baseline and those that lie between it and the dots: a scale down to
// the worst would leave no room for what is compared.
func (m Metric) near(dots span, rules Series) (values []float64, labels []string) {
	best := math.NaN()
	for _, y := range rules.Y {
		if m.better(y, best) {
			best = y
		}
	}
	room := dots.with(best)
	for i, y := range rules.Y {
		if y >= room.low && y <= room.high {
			values, labels = append(values, y), append(labels, rules.Labels[i])
		}
	}
	return values, labels
}

// front joins the dots that no other beats with as few trained values.
func (t *Table) front(dots Series) Series {
	order := make([]int, len(dots.X))
	for i := range order {
		order[i] = i
	}
	m := t.Metrics[0]
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case dots.X[a] == dots.X[b] && m.better(dots.Y[a], dots.Y[b]):
			return -1
		case dots.X[a] == dots.X[b] && m.better(dots.Y[b], dots.Y[a]):
			return 1
		}
		return cmp.Compare(dots.X[a], dots.X[b])
	})
	front := Series{Name: "best for their size", Look: Faint}
	best := math.NaN()
	for _, i := range order {
		if m.better(dots.Y[i], best) {
			best = dots.Y[i]
			front.X, front.Y = append(front.X, dots.X[i]), append(front.Y, best)
		}
	}
	if len(front.X) < 2 {
		front.Name = ""
	}
	return front
}
