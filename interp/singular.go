package interp

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// LowRank is a change of one of a layer's matrices, as LoRA makes it: W += Scale·B·A.
type LowRank struct {
	Layer int
	Proj  transformer.Proj
	Rank  int
	A, B  []float32 // [Rank, in], [out, Rank]
	Scale float64
}

// Direction is a singular direction of a change of weights, on the side of the stream: what
// the output matrices of attention and MLP write there, and what all others read.
type Direction struct {
	Layer int
	Proj  transformer.Proj
	Index int     // 0 is the strongest
	Size  float64 // the singular value σ
	Share float64 // σ² over Σσ²: its part of the change
	Reads bool    // the stream is the matrix's input, not its output
	// Vector is the direction in the stream, [D], of length 1 before the norm between it and the
	// matrix was worked in. Its sign means nothing.
	Vector []float32
	// Along and Against are the likeliest tokens if the stream were the vector, or its opposite.
	Along, Against []Guess
}

// SingularDirections takes changes of weights apart, Scale·B·A = Σ σ·u·vᵀ, and reads the
// strongest directions through the logit lens: u of matrices that write to the stream, v of
// those that read from it. The weight of the norm that stands between is worked in. What is
// decomposed is of the size of the rank: B and A are brought to orthogonal columns first.
func SingularDirections(ctx context.Context, m *transformer.Model, changes []LowRank, count, top int) ([]Direction, error) {
	var all []Direction
	w := newWeights(ctx, m)
	for _, x := range changes {
		list, err := x.directions(m.Config, count)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.throughNorms(list)
		all = append(all, list...)
	}
	if err := w.close(); err != nil || len(all) == 0 {
		return nil, err
	}
	return all, readDirections(ctx, m, all, top)
}

// directions are the strongest of a change.
func (x LowRank) directions(c *transformer.Config, count int) ([]Direction, error) {
	if x.Layer < 0 || x.Layer >= len(c.Layers) || x.Proj >= transformer.NumProj || x.Rank < 1 {
		return nil, fmt.Errorf("change of layer %d's %v of rank %d: %w", x.Layer, x.Proj, x.Rank, transformer.ErrInput)
	}
	out, in := x.Proj.Size(c)
	if len(x.A) != x.Rank*in || len(x.B) != x.Rank*out {
		return nil, fmt.Errorf("change of layer %d's %v: %d and %d values for rank %d and a matrix %d×%d: %w", x.Layer, x.Proj, len(x.A), len(x.B),
			x.Rank, out, in, transformer.ErrInput)
	}
	sizes, u, v, err := singular(x, out, in)
	if err != nil {
		return nil, fmt.Errorf("change of layer %d's %v: %w", x.Layer, x.Proj, err)
	}
	reads := x.Proj != transformer.OProj && x.Proj != transformer.DownProj
	vectors, sum := u, 0.0
	if reads {
		vectors = v
	}
	for _, s := range sizes {
		sum += s * s
	}
	var list []Direction
	for i, s := range sizes[:min(count, len(sizes))] {
		if s == 0 {
			break
		}
		d := Direction{Layer: x.Layer, Proj: x.Proj, Index: i, Size: s, Share: s * s / sum, Reads: reads}
		for row := range c.Hidden {
			d.Vector = append(d.Vector, float32(vectors.At(row, i)))
		}
		list = append(list, d)
	}
	return list, nil
}

// singular decomposes Scale·B·A: with B = P·S·Qᵀ and A = R·T·Wᵀ, thin, it is that of the small
// matrix S·Qᵀ·R·T between P and Wᵀ.
func singular(x LowRank, out, in int) (sizes []float64, u, v *mat.Dense, err error) {
	var b, a, small mat.SVD
	if !b.Factorize(widened(x.B, out, x.Rank), mat.SVDThin) || !a.Factorize(widened(x.A, x.Rank, in), mat.SVDThin) {
		return nil, nil, nil, fmt.Errorf("no singular values: is a value not finite? %w", transformer.ErrInput)
	}
	var p, q, r, w, core mat.Dense
	b.UTo(&p)
	b.VTo(&q)
	a.UTo(&r)
	a.VTo(&w)
	core.Mul(q.T(), &r)
	left, right := b.Values(nil), a.Values(nil)
	core.Apply(func(i, j int, v float64) float64 { return x.Scale * left[i] * v * right[j] }, &core)
	if !small.Factorize(&core, mat.SVDThin) {
		return nil, nil, nil, fmt.Errorf("no singular values: is a value not finite? %w", transformer.ErrInput)
	}
	var su, sv mat.Dense
	small.UTo(&su)
	small.VTo(&sv)
	u, v = &mat.Dense{}, &mat.Dense{}
	u.Mul(&p, &su)
	v.Mul(&w, &sv)
	return small.Values(nil), u, v, nil
}

// widened is a matrix in float64.
func widened(values []float32, rows, cols int) *mat.Dense {
	m := mat.NewDense(rows, cols, nil)
	for i, v := range values {
		m.Set(i/cols, i%cols, float64(v))
	}
	return m
}

// throughNorms works in the norm between the stream and the matrix that a list's directions
// are of.
func (w *weights) throughNorms(list []Direction) {
	if len(list) == 0 || w.err != nil {
		return
	}
	layer := &w.m.Weights.Layers[list[0].Layer]
	norm := map[transformer.Proj]*tensor.Tensor{
		transformer.OProj: layer.Norm1Post, transformer.DownProj: layer.Norm2Post,
		transformer.QProj: layer.Norm1, transformer.KProj: layer.Norm1, transformer.VProj: layer.Norm1,
		transformer.GateProj: layer.Norm2, transformer.UpProj: layer.Norm2,
	}[list[0].Proj]
	if norm == nil {
		return
	}
	var rows []float32
	for _, d := range list {
		rows = append(rows, d.Vector...)
	}
	if rows = w.read(w.weigh(w.upload(rows, w.c.Hidden), norm), 0); w.err != nil {
		return
	}
	for i := range list {
		list[i].Vector = rows[i*w.c.Hidden:][:w.c.Hidden]
	}
}

// readDirections finds the tokens of directions.
func readDirections(ctx context.Context, m *transformer.Model, all []Direction, top int) error {
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 2})
	if err != nil {
		return err
	}
	vocab := m.Config.VocabSize
	for i := range all {
		pair := append([]float32(nil), all[i].Vector...)
		for _, v := range all[i].Vector {
			pair = append(pair, -v)
		}
		logits, err := r.LogitsOf(ctx, pair)
		if err != nil {
			return errors.Join(err, r.Close())
		}
		all[i].Along, all[i].Against = guesses(logits[:vocab], top), guesses(logits[vocab:], top)
	}
	return r.Close()
}
