package interp

import (
	"context"
	"fmt"
	"math/cmplx"

	"gonum.org/v1/gonum/mat"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Copying says how much each head's output raises the logit of the token that it attends
// to: Σ Re λ / Σ |λ| over the eigenvalues λ of its full OV circuit W_E·W_V·W_O·W_U, in
// [−1, 1] (Elhage et al. 2021, A Mathematical Framework for Transformer Circuits). They
// are those of the h×h matrix W_O·W_U·W_E·W_V. The model's own weights are meant: merge an
// adapter to see its effect.
func Copying(ctx context.Context, m *transformer.Model) (Table, error) {
	w := newWeights(ctx, m)
	table := w.copying(w.circuit())
	return table, w.close()
}

// CopyingResidual is the same without embedding and output matrix: of W_V·W_O.
func CopyingResidual(ctx context.Context, m *transformer.Model) (Table, error) {
	w := newWeights(ctx, m)
	table := w.copying(nil)
	return table, w.close()
}

// vocabularyPart is how many rows of the vocabulary's matrices are in work together.
const vocabularyPart = 4096

// circuit is W_U·W_E, from what is read after the last norm back to the stream: [D, D].
func (w *weights) circuit() *tensor.Tensor {
	out := w.new(w.c.Hidden, w.c.Hidden)
	n := len(w.tensors)
	for lo := 0; lo < w.c.VocabSize && w.err == nil; lo += vocabularyPart {
		ids := span(lo, min(lo+vocabularyPart, w.c.VocabSize))
		u := w.weigh(w.rows(w.m.Weights.Unembed, ids, 1), w.m.Weights.Norm)
		e := w.rows(w.m.Weights.Embed, ids, w.c.EmbedScale)
		if w.err == nil {
			w.do(tensor.MatMulDW{DW: out, DOut: u, X: e, Add: lo > 0})
		}
		w.free(n)
	}
	return out
}

// copying scores every head; without a circuit, that of the stream to itself.
func (w *weights) copying(circuit *tensor.Tensor) Table {
	table, share := newTable(w.c), w.c.Heads/w.c.KVHeads
	for l := range table {
		n := len(w.tensors)
		v := w.reads(l, transformer.VProj)
		if circuit != nil {
			v = w.times(v, circuit)
		}
		at := w.blocks(w.throughO(l, v))
		if w.err != nil {
			return nil
		}
		for h := range table[l] {
			score, err := copyingScore(at(h/share, h))
			if err != nil {
				w.err = fmt.Errorf("layer %d, head %d: %w", l, h, err)
				return nil
			}
			table[l][h] = score
		}
		w.free(n)
	}
	return table
}

// copyingScore is Σ Re λ / Σ |λ| of a matrix.
func copyingScore(m *mat.Dense) (float64, error) {
	var e mat.Eigen
	if !e.Factorize(m, mat.EigenNone) {
		return 0, fmt.Errorf("eigenvalues don't converge: %w", transformer.ErrUnsupported)
	}
	along, all := 0.0, 0.0
	for _, v := range e.Values(nil) {
		along, all = along+real(v), all+cmplx.Abs(v)
	}
	if all == 0 {
		return 0, nil
	}
	return along / all, nil
}

// CopyingTop is the fraction of tokens that are themselves among the k tokens whose
// logits the head's full OV circuit raises most, when it attends to them. All tokens
// are tried if none are given: that is heads × vocabulary² × D steps of work.
func CopyingTop(ctx context.Context, m *transformer.Model, k int, tokens []int32) (Table, error) {
	if k < 1 || k > m.Config.VocabSize {
		return nil, fmt.Errorf("top %d of %d tokens: %w", k, m.Config.VocabSize, transformer.ErrInput)
	}
	if tokens == nil {
		tokens = span(0, m.Config.VocabSize)
	}
	for _, id := range tokens {
		if id < 0 || int(id) >= m.Config.VocabSize {
			return nil, fmt.Errorf("token %d of %d: %w", id, m.Config.VocabSize, transformer.ErrInput)
		}
	}
	w, table := newWeights(ctx, m), newTable(m.Config)
	for lo := 0; lo < len(tokens) && w.err == nil; lo += topPart {
		w.copyingTop(table, k, tokens[lo:min(lo+topPart, len(tokens))], 1/float64(len(tokens)))
	}
	return table, w.close()
}

// topPart is how many tokens are in work together.
const topPart = 256

// copyingTop adds share to a head's score for every token that comes out on top.
func (w *weights) copyingTop(table Table, k int, tokens []int32, share float64) {
	embedded := w.rows(w.m.Weights.Embed, tokens, w.c.EmbedScale)
	for l := range table {
		n := len(w.tensors)
		v := w.times(embedded, w.reads(l, transformer.VProj)) // [tokens, K·h]
		if w.err != nil {
			return
		}
		values, err := tensor.Floats(w.ctx, w.m.Backend(), v)
		if err != nil {
			w.err = err
			return
		}
		for h := range table[l] {
			ranks := w.ranks(w.weigh(w.written(l, h, values, len(tokens)), w.m.Weights.Norm), tokens)
			for _, rank := range ranks {
				if rank < k {
					table[l][h] += share
				}
			}
		}
		w.free(n)
	}
	w.free(0)
}

// written is what a head writes to the stream when it attends to tokens with the given
// values [tokens, K·h]: [tokens, D].
func (w *weights) written(l, head int, values []float32, tokens int) *tensor.Tensor {
	h, kv := w.c.HeadDim, KVHead(w.c, head)
	z := make([]float32, tokens*w.c.Heads*h)
	for t := range tokens {
		copy(z[(t*w.c.Heads+head)*h:][:h], values[(t*w.c.KVHeads+kv)*h:])
	}
	in, out := w.new(tokens, w.c.Heads*h), w.new(tokens, w.c.Hidden)
	if w.err == nil {
		w.err = tensor.WriteFloats(w.ctx, w.m.Backend(), in, z)
	}
	if w.err != nil {
		return nil
	}
	layer := &w.m.Weights.Layers[l]
	w.do(tensor.MatMul{Out: out, X: in, W: layer.Proj[transformer.OProj]})
	return w.weigh(out, layer.Norm1Post)
}

// ranks says how many tokens have a higher logit than each row's own.
func (w *weights) ranks(x *tensor.Tensor, tokens []int32) []int {
	ranks := make([]int, len(tokens))
	own := w.rows(w.m.Weights.Unembed, tokens, 1)
	at := w.diagonal(x, own)
	for lo := 0; lo < w.c.VocabSize && w.err == nil; lo += vocabularyPart {
		n := len(w.tensors)
		hi := min(lo+vocabularyPart, w.c.VocabSize)
		logits := w.times(x, w.rows(w.m.Weights.Unembed, span(lo, hi), 1))
		if w.err != nil {
			break
		}
		values, err := tensor.Floats(w.ctx, w.m.Backend(), logits)
		if err != nil {
			w.err = err
			break
		}
		for t, id := range tokens {
			for i, v := range values[t*(hi-lo):][:hi-lo] {
				if v > at[t] && int32(lo+i) != id {
					ranks[t]++
				}
			}
		}
		w.free(n)
	}
	return ranks
}

// diagonal is Σ_d x[t,d]·y[t,d].
func (w *weights) diagonal(x, y *tensor.Tensor) []float32 {
	products := w.times(x, y)
	if w.err != nil {
		return nil
	}
	values, err := tensor.Floats(w.ctx, w.m.Backend(), products)
	if err != nil {
		w.err = err
		return nil
	}
	out := make([]float32, x.Rows())
	for t := range out {
		out[t] = values[t*len(out)+t]
	}
	return out
}
