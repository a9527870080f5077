package view

import "fmt"

// Scores is a section with a matrix of layers × heads for each of several scores, and
// the heads where the chosen one is largest.
type Scores struct {
	Title, About string
	// Runs are the names of what is compared, at most two: "base", "tuned". With two, the
	// difference is shown as well. Without names there is one run.
	Runs   []string
	Scores []Score
	// Group is how many heads share keys and values; 0 and 1 mean that none do.
	Group int
}

// Score is a number for each head of one or two models.
type Score struct {
	Name  string
	About string // what it measures, in a sentence
	// Values are by layer and head; Second those of the second run.
	Values, Second [][]float32
	// Baseline, if not 0, is what chance would give.
	Baseline float64
	// Threshold, if not 0, is where a head counts as one of this kind: it gets a frame.
	Threshold float64
}

func (s Scores) section() (heading, any, error) {
	h := heading{"scores", s.Title, s.About}
	if len(s.Scores) == 0 || len(s.Runs) > 2 || s.Group < 0 {
		return h, nil, fmt.Errorf("%d scores of %d runs, groups of %d: %w", len(s.Scores), len(s.Runs), s.Group, ErrInput)
	}
	type matrix struct {
		Name      string     `json:"name"`
		About     string     `json:"about"`
		Values    [][]floats `json:"values"` // [run][layer][head]
		Bounds    bounds     `json:"bounds"`
		Change    *bounds    `json:"change,omitempty"`
		Baseline  float64    `json:"baseline"`
		Threshold float64    `json:"threshold"`
	}
	var all []matrix
	for _, sc := range s.Scores {
		runs := [][][]float32{sc.Values}
		if len(s.Runs) == 2 {
			runs = append(runs, sc.Second)
		}
		m := matrix{Name: visible(sc.Name, maxLabel), About: visible(sc.About, maxAbout), Baseline: sc.Baseline, Threshold: sc.Threshold}
		var rows [][]float32
		for i, values := range runs {
			err := rectangle(values)
			if err == nil && (len(values) != len(s.Scores[0].Values) || len(values[0]) != len(s.Scores[0].Values[0])) {
				err = fmt.Errorf("%d layers × %d heads, not %d × %d: %w", len(values), len(values[0]), len(s.Scores[0].Values), len(s.Scores[0].Values[0]), ErrInput)
			}
			if err == nil && !(finite(sc.Baseline) && finite(sc.Threshold)) {
				err = fmt.Errorf("baseline %v, threshold %v: %w", sc.Baseline, sc.Threshold, ErrInput)
			}
			if err != nil {
				return h, nil, fmt.Errorf("score %q, run %d: %w", visible(sc.Name, maxLabel), i, err)
			}
			m.Values = append(m.Values, grid(values))
			rows = append(rows, values...)
		}
		m.Bounds = scale(0, 0, rows...)
		if len(runs) == 2 {
			b := scale(0, 0, changes(sc.Values, sc.Second)...)
			b.Low = -b.High
			m.Change = &b
		}
		all = append(all, m)
	}
	return h, map[string]any{"runs": names(s.Runs), "scores": all, "group": s.Group}, nil
}

// changes are b − a.
func changes(a, b [][]float32) [][]float32 {
	d := make([][]float32, len(a))
	for i := range a {
		d[i] = make([]float32, len(a[i]))
		for j := range a[i] {
			d[i][j] = b[i][j] - a[i][j]
		}
	}
	return d
}

// Matrix is the score of the first run as a heat map of layers × heads, for PNG and
// Terminal; group is how many heads share keys and values.
func (s Score) Matrix(group int) Matrix {
	return Matrix{Title: s.Name, RowName: "layer", ColumnName: "head", Values: s.Values, Baseline: s.Baseline, Group: group}
}
