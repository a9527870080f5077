package transformer

import (
	"context"
	"fmt"
	"iter"

	"github.com/gpupeft/gpupeft/tensor"
)

// HF's names of the two matrices over the vocabulary.
const (
	embedName   = "model.embed_tokens.weight"
	unembedName = "lm_head.weight"
)

// newWeights makes room for a model's layers.
func newWeights(c *Config) Weights { return Weights{Layers: make([]Layer, len(c.Layers))} }

// each calls f for every parameter that a model of this config has, with the name
// and the shape that HF gives it. It is the one place that knows the names.
func (w *Weights) each(c *Config, f func(name string, t **tensor.Tensor, shape []int)) {
	d := []int{c.Hidden}
	f(embedName, &w.Embed, []int{c.VocabSize, c.Hidden})
	if c.LearnedPositions {
		f("model.embed_positions.weight", &w.Positions, []int{c.MaxPositions, c.Hidden})
	}
	for i := range w.Layers {
		l := &w.Layers[i]
		for p := range NumProj {
			if out, in := p.Size(c); out > 0 && in > 0 {
				f(p.Module(i)+".weight", &l.Proj[p], []int{out, in})
			}
		}
		if c.NoNorms {
			continue
		}
		norm := func(name string, t **tensor.Tensor, shape []int) {
			f(fmt.Sprintf("model.layers.%d.%s.weight", i, name), t, shape)
		}
		norm("input_layernorm", &l.Norm1, d)
		if c.PostNorms {
			norm("post_attention_layernorm", &l.Norm1Post, d)
			norm("pre_feedforward_layernorm", &l.Norm2, d)
			norm("post_feedforward_layernorm", &l.Norm2Post, d)
		} else if c.FFN > 0 {
			norm("post_attention_layernorm", &l.Norm2, d)
		}
		if c.QKNorm {
			norm("self_attn.q_norm", &l.QNorm, []int{c.HeadDim})
			norm("self_attn.k_norm", &l.KNorm, []int{c.HeadDim})
		}
	}
	if !c.NoNorms {
		f("model.norm.weight", &w.Norm, d)
	}
	if !c.Tied {
		f(unembedName, &w.Unembed, []int{c.VocabSize, c.Hidden})
	}
}

// Parameters yields the names and shapes that HF gives a model's parameters, tied ones
// once.
func (c *Config) Parameters() iter.Seq2[string, []int] {
	return func(yield func(string, []int) bool) {
		w, more := newWeights(c), true
		w.each(c, func(name string, _ **tensor.Tensor, shape []int) { more = more && yield(name, shape) })
	}
}

// EmbedRows returns the embeddings of tokens as they enter the residual stream,
// that is, scaled: [len(ids), D].
func (m *Model) EmbedRows(ctx context.Context, ids []int32) ([]float32, error) {
	if err := m.checkIDs(ids, 0); err != nil {
		return nil, err
	}
	list, err := tensor.FromInts(ctx, m.backend, "ids", ids, len(ids))
	if err != nil {
		return nil, err
	}
	defer list.Close()
	rows, err := m.backend.New("rows", tensor.F32, len(ids), m.Config.Hidden)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	p := tensor.Begin(m.backend)
	p.Do(tensor.Embed{Out: rows, IDs: list, Table: m.Weights.Embed, Scale: m.Config.EmbedScale})
	if err := p.Submit(ctx); err != nil {
		return nil, err
	}
	return tensor.Floats(ctx, m.backend, rows)
}

// checkIDs makes sure that token ids are in the vocabulary; negative ones may name
// the rows of a soft prompt.
func (m *Model) checkIDs(ids []int32, virtual int) error {
	if len(ids) == 0 {
		return fmt.Errorf("no token ids: %w", ErrInput)
	}
	for i, id := range ids {
		if int(id) < -virtual {
			return fmt.Errorf("virtual token %d at position %d, there are %d: %w", -id, i, virtual, ErrInput)
		}
		if int(id) >= m.Config.VocabSize {
			return fmt.Errorf("token id %d at position %d is outside the vocabulary of %d: %w", id, i, m.Config.VocabSize, ErrInput)
		}
	}
	return nil
}
