package view

import "fmt"

// Text is a section with a text whose tokens are coloured by a value: loss, direct logit
// attribution, the size of an activation.
type Text struct {
	Title, About string
	Tokens       []string
	Series       []Series // one is shown at a time
}

// Series is a named list of values. NaN is no value.
type Series struct {
	Name   string
	Values []float32
}

func (t Text) section() (heading, any, error) {
	h := heading{"text", t.Title, t.About}
	if len(t.Tokens) == 0 {
		return h, nil, fmt.Errorf("no tokens: %w", ErrInput)
	}
	all, err := drawnSeries(t.Series, len(t.Tokens))
	return h, map[string]any{"tokens": labels(t.Tokens), "series": all}, err
}

// jsonSeries is a series in the page's JSON.
type jsonSeries struct {
	Name   string `json:"name"`
	Values floats `json:"values"`
	Bounds bounds `json:"bounds"`
}

// drawnSeries checks series of n values each.
func drawnSeries(series []Series, n int) ([]jsonSeries, error) {
	if len(series) == 0 || n == 0 {
		return nil, fmt.Errorf("no values: %w", ErrInput)
	}
	var all []jsonSeries
	for _, s := range series {
		if len(s.Values) != n {
			return nil, fmt.Errorf("%q has %d values, not %d: %w", visible(s.Name, maxLabel), len(s.Values), n, ErrInput)
		}
		if err := noneInfinite(s.Values); err != nil {
			return nil, fmt.Errorf("%q: %w", visible(s.Name, maxLabel), err)
		}
		all = append(all, jsonSeries{visible(s.Name, maxLabel), s.Values, scale(0, 0, s.Values)})
	}
	return all, nil
}
