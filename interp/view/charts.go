package view

import "fmt"

// Bars is a section with a bar for each of several named values, as the direct logit
// attribution of each component.
type Bars struct {
	Title, About string
	Unit         string // what the values are: "logits"
	Names        []string
	Values       []float32
}

func (b Bars) section() (heading, any, error) {
	h := heading{"bars", b.Title, b.About}
	all, err := drawnSeries([]Series{{b.Title, b.Values}}, len(b.Names))
	if err != nil {
		return h, nil, err
	}
	return h, map[string]any{"unit": visible(b.Unit, maxLabel), "names": names(b.Names), "values": all[0].Values}, nil
}

// Lines is a section with a line chart: a loss by step, a divergence by layer.
type Lines struct {
	Title, About string
	XName, YName string
	X            []string // names of the points, in order
	Series       []Series // a line each, of len(X) values
}

func (l Lines) section() (heading, any, error) {
	h := heading{"lines", l.Title, l.About}
	all, err := drawnSeries(l.Series, len(l.X))
	return h, map[string]any{"xName": visible(l.XName, maxLabel), "yName": visible(l.YName, maxLabel), "x": names(l.X), "series": all}, err
}

// Maps is a section with heat maps beside each other: full QK and OV circuits, the
// attention of each layer's heads to the tokens of a soft prompt.
type Maps struct {
	Title, About string
	Maps         []Matrix
	// Same gives all maps one scale of colours.
	Same bool
}

func (m Maps) section() (heading, any, error) {
	h := heading{"maps", m.Title, m.About}
	type drawn struct {
		Title      string   `json:"title"`
		RowName    string   `json:"rowName"`
		ColumnName string   `json:"columnName"`
		Rows       []string `json:"rows"`
		Columns    []string `json:"columns"`
		Values     []floats `json:"values"`
		Bounds     bounds   `json:"bounds"`
		Baseline   float64  `json:"baseline"`
		Group      int      `json:"group"`
	}
	if len(m.Maps) == 0 {
		return h, nil, fmt.Errorf("no maps: %w", ErrInput)
	}
	var all []drawn
	var common bounds
	for i, x := range m.Maps {
		if err := x.check(); err != nil {
			return h, nil, fmt.Errorf("map %d, %q: %w", i, visible(x.Title, maxLabel), err)
		}
		b := x.scale()
		common = bounds{min(common.Low, b.Low), max(common.High, b.High)}
		all = append(all, drawn{
			visible(x.Title, maxTitle), visible(x.RowName, maxLabel), visible(x.ColumnName, maxLabel), axis(x.Rows, len(x.Values)), axis(x.Columns, len(x.Values[0])),
			grid(x.Values), b, x.Baseline, x.Group,
		})
	}
	if m.Same {
		for i := range all {
			all[i].Bounds = scale(common.Low, common.High)
		}
	}
	return h, map[string]any{"maps": all, "same": m.Same}, nil
}

// Table is a section with a table whose columns can be sorted by.
type Table struct {
	Title, About string
	Columns      []string
	Rows         [][]string // of len(Columns) texts; use Label for tokens
}

func (t Table) section() (heading, any, error) {
	h := heading{"table", t.Title, t.About}
	rows := make([][]string, len(t.Rows))
	for i, row := range t.Rows {
		if len(row) != len(t.Columns) {
			return h, nil, fmt.Errorf("row %d has %d cells, not %d: %w", i, len(row), len(t.Columns), ErrInput)
		}
		rows[i] = names(row)
	}
	return h, map[string]any{"columns": names(t.Columns), "rows": rows}, nil
}
