package interp

import (
	"context"
	"errors"
	"fmt"

	"github.com/gpupeft/gpupeft/transformer"
)

// Attribution says what each part of a model adds to a weighted sum of logits on the
// direct path, that is through the stream alone (direct logit attribution).
type Attribution struct {
	Heads Table
	MLPs  []float64 // by layer; 0 without an MLP
	Embed float64
	// Positions is the learned positions' share; 0 without them.
	Positions float64
	Logit     float64 // the sum itself, before a final soft-cap
}

// Sum adds all parts up; it is Logit, but for rounding.
func (a *Attribution) Sum() float64 {
	sum := a.Embed + a.Positions
	for l, heads := range a.Heads {
		for _, v := range heads {
			sum += v
		}
		sum += a.MLPs[l]
	}
	return sum
}

// DirectOptions says what is in place during the run.
type DirectOptions struct {
	Adapters []transformer.Adapter
	Task     int // of a soft prompt
}

// NextTokens are the logits of the tokens that come next, the mean over all of them.
func NextTokens(ids [][]int32) []Term {
	var terms []Term
	for b, seq := range ids {
		for i := 1; i < len(seq); i++ {
			terms = append(terms, Term{b, i - len(seq) - 1, seq[i], 0})
		}
	}
	for i := range terms {
		terms[i].Weight = 1 / float64(len(terms))
	}
	return terms
}

// Direct attributes a weighted sum of logits to heads, MLPs and the embeddings. The
// divisors of the norms on the way, the last one and Gemma 2's behind the sublayers, are
// held constant, which makes the path linear: a part's share is its output times what the
// logits read there, and the shares sum to the logits. With adapters between a sublayer and
// the stream, which aren't linear, they don't quite.
func Direct(ctx context.Context, m *transformer.Model, ids [][]int32, terms []Term, o DirectOptions) (*Attribution, error) {
	d, err := newDirectPath(ctx, m, ids, terms, o)
	if err != nil {
		return nil, err
	}
	err = observe(ctx, m, ids, o, transformer.RunOptions{StreamOnly: true}, d)
	if errors.Is(err, errIndirect) {
		return directByGradient(ctx, m, ids, terms, o)
	}
	if err != nil {
		return nil, err
	}
	return d.found, nil
}

// place are the logits that terms are about.
type place struct {
	terms []Term  // positions count from the start
	rows  []int32 // of the stream, each once
	row   []int   // of each term, in rows
}

// newPlace finds the rows of logits that terms are about, in sequences of so many tokens.
func newPlace(c *transformer.Config, terms []Term, batch, length int) (place, error) {
	var p place
	seen := map[int32]int{}
	for _, t := range terms {
		if t.Position < 0 {
			t.Position += length
		}
		if t.Sequence < 0 || t.Sequence >= batch || t.Position < 0 || t.Position >= length || t.Token < 0 || int(t.Token) >= c.VocabSize {
			return p, fmt.Errorf("%+v for %d sequences of %d tokens: %w", t, batch, length, transformer.ErrInput)
		}
		row := int32(t.Sequence*length + t.Position)
		if _, ok := seen[row]; !ok {
			seen[row] = len(p.rows)
			p.rows = append(p.rows, row)
		}
		p.terms, p.row = append(p.terms, t), append(p.row, seen[row])
	}
	if len(terms) == 0 {
		return p, fmt.Errorf("no logits to attribute: %w", transformer.ErrInput)
	}
	return p, nil
}
