package interp

import (
	"context"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Compositions are scores of pairs of heads: [layer][head][later layer][later head], 0 unless
// the second layer is later.
type Compositions struct {
	Q, K, V [][][][]float64
	// Baseline is about what random matrices have: 1/√D.
	Baseline float64
}

// Composition says how strongly each head reads what each earlier head has written, with
// its queries, keys or values: ‖A·B‖/(‖A‖·‖B‖), Frobenius norms, A being the earlier
// head's W_V·W_O, and B the later's W_Q·W_Kᵀ, its transpose, or W_V·W_O (Elhage et al.
// 2021). As in TransformerLens, the rotary embedding is left out: it is the score at
// distance 0. So are Gemma 3's norms of queries and keys.
//
// With S = W_VᵀW_V of A, C = W_O·W of the pair and R = W'ᵀW' of what stands behind W in B,
// ‖A·B‖² = tr(S·C·R·Cᵀ): nothing larger than h×h comes together on the host.
func Composition(ctx context.Context, m *transformer.Model) (*Compositions, error) {
	w := newWeights(ctx, m)
	c := &Compositions{Baseline: 1 / math.Sqrt(float64(m.Config.Hidden))}
	var layers []gram
	for l := range m.Config.Layers {
		layers = append(layers, w.gram(l))
	}
	for _, s := range []struct {
		to     *[][][][]float64
		proj   transformer.Proj
		behind func(g *gram, head int) *mat.Dense
		norm   func(g *gram, head int) float64
	}{
		{&c.Q, transformer.QProj, func(g *gram, h int) *mat.Dense { return g.k[h] }, func(g *gram, h int) float64 { return g.qk[h] }},
		{&c.K, transformer.KProj, func(g *gram, h int) *mat.Dense { return g.q[h] }, func(g *gram, h int) float64 { return g.qk[h] }},
		{&c.V, transformer.VProj, func(g *gram, h int) *mat.Dense { return g.o[h] }, func(g *gram, h int) float64 { return g.ov[h] }},
	} {
		*s.to = newPairs(m.Config)
		for b := 1; b < len(layers) && w.err == nil; b++ {
			n := len(w.tensors)
			reads := w.reads(b, s.proj)
			for a := range b {
				at := w.blocks(w.throughO(a, reads))
				if w.err != nil {
					break
				}
				for ha := range m.Config.Heads {
					for hb := range m.Config.Heads {
						block := hb
						if s.proj != transformer.QProj {
							block = KVHead(m.Config, hb)
						}
						product := traceOf(layers[a].v[ha], at(block, ha), s.behind(&layers[b], hb))
						(*s.to)[a][ha][b][hb] = math.Sqrt(max(0, product)) / (layers[a].ov[ha] * s.norm(&layers[b], hb))
					}
				}
			}
			w.free(n)
		}
	}
	return c, w.close()
}

// traceOf is tr(S·C·R·Cᵀ), given S, Cᵀ and R.
func traceOf(s, ct, r *mat.Dense) float64 {
	var left, right mat.Dense
	left.Mul(ct, s)  // (S·C)ᵀ
	right.Mul(r, ct) // R·Cᵀ
	sum := 0.0
	for i, v := range left.RawMatrix().Data {
		sum += v * right.RawMatrix().Data[i]
	}
	return sum
}

// newPairs makes room for a score of every pair of heads.
func newPairs(c *transformer.Config) [][][][]float64 {
	all := make([][][][]float64, len(c.Layers))
	for l := range all {
		all[l] = make([][][]float64, c.Heads)
		for h := range all[l] {
			all[l][h] = newTable(c)
		}
	}
	return all
}

// gram holds, for each query head of a layer, WᵀW of its matrices (W·Wᵀ of W_O), and the norms
// of its two circuits.
type gram struct {
	q, k, v, o []*mat.Dense
	qk, ov     []float64
}

func (w *weights) gram(l int) gram {
	var g gram
	n := len(w.tensors)
	square := func(p transformer.Proj) func(i, j int) *mat.Dense {
		x := w.reads(l, p)
		return w.blocks(w.times(x, x))
	}
	q, k, v := square(transformer.QProj), square(transformer.KProj), square(transformer.VProj)
	o := w.blocks(w.squareO(l))
	if w.err != nil {
		return g
	}
	for h := range w.c.Heads {
		kv := KVHead(w.c, h)
		g.q, g.k = append(g.q, q(h, h)), append(g.k, k(kv, kv))
		g.v, g.o = append(g.v, v(kv, kv)), append(g.o, o(h, h))
		g.qk = append(g.qk, math.Sqrt(inner(g.q[h], g.k[h])))
		g.ov = append(g.ov, math.Sqrt(inner(g.v[h], g.o[h])))
	}
	w.free(n)
	return g
}

// squareO is W_O·W_Oᵀ of all heads: [H·h, H·h].
func (w *weights) squareO(l int) *tensor.Tensor {
	o := w.throughO(l, w.identity())
	if w.err != nil {
		return nil
	}
	out := w.new(o.Cols(), o.Cols())
	if w.err == nil {
		w.do(tensor.MatMulDW{DW: out, DOut: o, X: o})
	}
	return out
}

// identity is the matrix of D directions of the stream.
func (w *weights) identity() *tensor.Tensor {
	d := w.c.Hidden
	values := make([]float32, d*d)
	for i := range d {
		values[i*d+i] = 1
	}
	t := w.new(d, d)
	if w.err == nil {
		w.err = tensor.WriteFloats(w.ctx, w.m.Backend(), t, values)
	}
	return t
}

// inner is Σ a·b = tr(a·bᵀ) of two symmetric matrices.
func inner(a, b *mat.Dense) float64 {
	sum := 0.0
	for i, v := range a.RawMatrix().Data {
		sum += v * b.RawMatrix().Data[i]
	}
	return sum
}
