package interp

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// PromptAttention is how much the tokens of a text attend to each position that adapters put
// in front of it, those of a prefix before those of a soft prompt: [layer][head][position],
// the mean over sequences and tokens. It is nil if there are none. One layer's patterns are
// held at a time.
func PromptAttention(ctx context.Context, m *transformer.Model, ids [][]int32, adapters []transformer.Adapter, task int) ([][][]float64, error) {
	if err := checkSequences(ids); err != nil {
		return nil, err
	}
	a := &attended{ctx: ctx, c: m.Config, batch: len(ids), text: len(ids[0]), virtual: virtualTokens(adapters), prefix: prefixTokens(adapters)}
	if a.virtual+a.prefix == 0 {
		return nil, nil
	}
	r, err := m.NewRun(transformer.RunOptions{Batch: a.batch, Length: a.virtual + a.text, Adapters: adapters, Hooks: transformer.Hooks{
		Tap: a.tap, Wants: func(s transformer.Site) bool { return s.Point == transformer.Pattern },
	}})
	if err != nil {
		return nil, err
	}
	err = r.Forward(ctx, withPrompt(r, ids, task))
	return a.means, errors.Join(err, r.Close())
}

// attended reads each layer's patterns when they have been computed.
type attended struct {
	ctx             context.Context // of the call that it lives in
	c               *transformer.Config
	batch           int
	text            int // tokens of a sequence
	virtual, prefix int // positions before the text
	means           [][][]float64
}

func (a *attended) tap(p *tensor.Pass, s transformer.Site, t *tensor.Tensor) {
	if s.Point != transformer.Pattern {
		return
	}
	if err := p.Submit(a.ctx); err != nil {
		p.Fail(err)
		return
	}
	values, err := tensor.Floats(a.ctx, p.Backend(), t)
	if err != nil {
		p.Fail(err)
		return
	}
	a.means = append(a.means, a.layer(values))
}

// layer averages patterns [B, H, T, K].
func (a *attended) layer(values []float32) [][]float64 {
	queries := a.virtual + a.text
	keys := len(values) / (a.batch * a.c.Heads * queries)
	lead := a.virtual + a.prefix
	heads := make([][]float64, a.c.Heads)
	for h := range heads {
		heads[h] = make([]float64, lead)
		if keys < queries+a.prefix {
			continue // a layer without the prefix
		}
		for b := range a.batch {
			for q := a.virtual; q < queries; q++ {
				for j, w := range values[((b*a.c.Heads+h)*queries+q)*keys:][:lead] {
					heads[h][j] += float64(w) / float64(a.batch*a.text)
				}
			}
		}
	}
	return heads
}
