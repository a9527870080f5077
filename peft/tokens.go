package peft

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// TokensConfig trains the embeddings of some tokens, PEFT's TRAINABLE_TOKENS: rows of
// the embedding matrix E, and where the output matrix is tied to it, of that as well.
// With d the difference of a trained row to the model's own, and 1(n, i) whether
// token n is the i-th of them,
//
//	x[n] += scale · Σ_i 1(n, i)·d[i]      logits[m, id_i] += ⟨norm[m], d[i]⟩
//
// The trained rows are stored themselves, not d.
type TokensConfig struct {
	Tokens  []int32 `json:"token_indices"`
	Targets Modules `json:"target_modules,omitzero"` // embed_tokens, the only one there is
}

// Name implements Config.
func (c TokensConfig) Name() string { return "tokens" }

// The trained rows' names: PEFT stores those of a tied matrix twice.
const (
	tokensName     = prefix + embedModule + ".trainable_tokens_delta"
	tiedTokensName = prefix + unembedModule + ".trainable_tokens_delta"
)

func (c TokensConfig) design(m *transformer.Model) (*design, error) {
	if c.Targets.IsZero() {
		c.Targets = Named("embed_tokens")
	}
	if _, err := (selection{targets: c.Targets, kinds: []moduleKind{embedding}}).of(m.Config); err != nil {
		return nil, err
	}
	ids := slices.Compact(slices.Sorted(slices.Values(c.Tokens)))
	if len(ids) == 0 || len(ids) != len(c.Tokens) || ids[0] < 0 || int(ids[len(ids)-1]) >= m.Config.VocabSize {
		return nil, fmt.Errorf("tokens %v: want different ids of a vocabulary of %d: %w", c.Tokens, m.Config.VocabSize, ErrConfig)
	}
	rows := func(ctx context.Context, dst []float32) error {
		scaled, err := m.EmbedRows(ctx, c.Tokens)
		for i, v := range scaled {
			dst[i] = v / m.Config.EmbedScale
		}
		return err
	}
	return &design{
		config: c,
		specs:  []spec{{name: tokensName, shape: []int{len(ids), m.Config.Hidden}, init: rows}},
		attach: attachTokens,
		fixed:  func(ctx context.Context, x *method) error { return tokenConstants(ctx, x, c.Tokens, rows) },
		pack: func(_ context.Context, m *method, t tensors) (tensors, error) {
			if m.model.Config.Tied {
				t[tiedTokensName] = t[tokensName]
			}
			return t, nil
		},
		unpack: func(t tensors) (tensors, error) {
			out := maps.Clone(t)
			delete(out, tiedTokensName)
			return out, nil
		},
		updates: func(ctx context.Context, x *method) (map[string]update, error) { return tokenUpdates(ctx, x, c.Tokens) },
	}, nil
}

// tokenConstants makes the model's own rows, and the matrix 1(v, i) [V, tokens].
func tokenConstants(ctx context.Context, m *method, ids []int32, rows starting) error {
	d, vocab := m.model.Config.Hidden, m.model.Config.VocabSize
	own, which := make([]float32, len(ids)*d), make([]float32, vocab*len(ids))
	if err := rows(ctx, own); err != nil {
		return err
	}
	for i, id := range ids {
		which[int(id)*len(ids)+i] = 1
	}
	ownRows, table := m.owned.new("tokens.own", len(ids), d), m.owned.new("tokens.which", vocab, len(ids))
	if m.owned.err != nil {
		return m.owned.err
	}
	if err := tensor.WriteFloats(ctx, m.model.Backend(), ownRows, own); err != nil {
		return err
	}
	return tensor.WriteFloats(ctx, m.model.Backend(), table, which)
}

// tokenRun is the trained tokens' part in one run.
type tokenRun struct {
	rows  Param          // [k, D]
	own   *tensor.Tensor // [k, D]
	diff  *tensor.Tensor // [k, D]
	which *tensor.Tensor // [V, k]
	u     *tensor.Tensor // [capacity, k]
	scale float32        // of the embeddings
}

func attachTokens(m *method, s *scratch) *transformer.Attachment {
	q := m.param(tokensName)
	k, d := q.Shape[0], q.Shape[1]
	t := &tokenRun{
		rows: q, own: m.own("tokens.own"), which: m.own("tokens.which"), diff: s.new("tokens.diff", k, d),
		u: s.new("tokens.u", s.run.Capacity()*k), scale: m.model.Config.EmbedScale,
	}
	at := &transformer.Attachment{Begin: t.begin, Embed: t}
	if m.model.Config.Tied {
		at.Unembed = t.unembed
	}
	return at
}

func (t *tokenRun) begin(p *tensor.Pass) {
	p.Do(tensor.Scale{Out: t.diff, X: t.rows.Value, Factor: 1},
		tensor.Scale{Out: t.diff, X: t.own, Factor: -1, Add: true})
}

// Forward implements transformer.EmbedAdapter.
func (t *tokenRun) Forward(p *tensor.Pass, x, ids *tensor.Tensor) {
	u := shaped(p, t.u, x.Rows(), t.diff.Rows())
	p.Do(tensor.Embed{Out: u, IDs: ids, Table: t.which},
		tensor.MatMulDX{DX: x, DOut: u, W: t.diff, Scale: t.scale, Add: true})
}

// Backward implements transformer.EmbedAdapter.
func (t *tokenRun) Backward(p *tensor.Pass, dx, ids *tensor.Tensor) {
	u := shaped(p, t.u, dx.Rows(), t.diff.Rows()) // the output matrix has used it since
	p.Do(tensor.Embed{Out: u, IDs: ids, Table: t.which},
		tensor.MatMulDW{DW: t.rows.Grad, DOut: u, X: dx, Scale: t.scale, Add: true})
}

// unembed adds the differences' products to their tokens' logits.
func (t *tokenRun) unembed(lo, hi int, base transformer.Linear) (transformer.Linear, error) {
	which, err := t.which.Slice(lo, hi)
	return &tokenLinear{tokenRun: t, base: base, part: which}, err
}

// tokenLinear is a part of a tied output matrix.
type tokenLinear struct {
	*tokenRun
	base transformer.Linear
	part *tensor.Tensor // [hi−lo, k]
}

// Forward implements transformer.Linear.
func (l *tokenLinear) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	l.base.Forward(p, out, x)
	u := shaped(p, l.u, x.Rows(), l.diff.Rows())
	p.Do(tensor.MatMul{Out: u, X: x, W: l.diff}, tensor.MatMul{Out: out, X: u, W: l.part, Add: true})
}

// Backward implements transformer.Linear.
func (l *tokenLinear) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool) {
	l.base.Backward(p, dx, dout, x, add)
	du := shaped(p, l.u, x.Rows(), l.diff.Rows())
	p.Do(tensor.MatMulDX{DX: du, DOut: dout, W: l.part}, tensor.MatMulDW{DW: l.rows.Grad, DOut: du, X: x, Add: true})
	if dx != nil {
		p.Do(tensor.MatMulDX{DX: dx, DOut: du, W: l.diff, Add: true})
	}
}

// tokenUpdates puts the trained rows into the embeddings.
func tokenUpdates(ctx context.Context, m *method, ids []int32) (map[string]update, error) {
	rows, err := tensor.Floats(ctx, m.model.Backend(), m.param(tokensName).Value)
	if err != nil {
		return nil, err
	}
	return map[string]update{embedModule + ".weight": func(r int, row []float32) {
		if i := slices.Index(ids, int32(r)); i >= 0 {
			copy(row, rows[i*len(row):])
		}
	}}, nil
}
