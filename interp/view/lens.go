package view

import "fmt"

// Lens is a section with the logit lens: what each layer's residual stream, unembedded,
// takes for the next token at each position.
type Lens struct {
	Title, About string
	Tokens       []string // the input, [T]
	Layers       []string // names of the rows, [L]: "embed", "0", …
	// Targets are the tokens that do come next, [T]; nil if there are none.
	Targets []string
	// Top are the likeliest tokens, likeliest first, [layer][position].
	Top [][][]Candidate
	// Probability of the target, [layer][position]; nil without Targets.
	Probability [][]float32
}

// Candidate is a possible next token and its probability.
type Candidate struct {
	Token       string
	Probability float32
}

func (l Lens) section() (heading, any, error) {
	h := heading{"lens", l.Title, l.About}
	if len(l.Tokens) == 0 || len(l.Layers) == 0 || len(l.Top) != len(l.Layers) {
		return h, nil, fmt.Errorf("%d tokens, %d names and %d rows of layers: %w", len(l.Tokens), len(l.Layers), len(l.Top), ErrInput)
	}
	type cell struct {
		Tokens        []string `json:"tokens"`
		Probabilities floats   `json:"p"`
	}
	rows := make([][]cell, len(l.Top))
	for i, row := range l.Top {
		if len(row) != len(l.Tokens) {
			return h, nil, fmt.Errorf("layer %d has %d positions, not %d: %w", i, len(row), len(l.Tokens), ErrInput)
		}
		for j, top := range row {
			var c cell
			for _, t := range top {
				if !(t.Probability >= 0 && t.Probability <= 1.001) {
					return h, nil, fmt.Errorf("layer %d, position %d: probability %v: %w", i, j, t.Probability, ErrInput)
				}
				c.Tokens = append(c.Tokens, Label(t.Token))
				c.Probabilities = append(c.Probabilities, t.Probability)
			}
			if len(top) == 0 {
				return h, nil, fmt.Errorf("layer %d, position %d has no token: %w", i, j, ErrInput)
			}
			rows[i] = append(rows[i], c)
		}
	}
	data := map[string]any{"tokens": labels(l.Tokens), "layers": names(l.Layers), "rows": rows}
	if l.Targets != nil {
		err := rectangle(l.Probability)
		if err == nil && (len(l.Targets) != len(l.Tokens) || len(l.Probability) != len(l.Layers) || len(l.Probability[0]) != len(l.Tokens)) {
			err = fmt.Errorf("%d targets, %d layers of their probabilities: %w", len(l.Targets), len(l.Probability), ErrInput)
		}
		if err != nil {
			return h, nil, fmt.Errorf("targets: %w", err)
		}
		data["targets"], data["target"] = labels(l.Targets), grid(l.Probability)
	}
	return h, data, nil
}
