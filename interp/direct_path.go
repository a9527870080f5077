package interp

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// errIndirect says that adapters stand on the direct path.
var errIndirect = errors.New("adapters on the direct path")

// directPath attributes logits while a run is recorded, without keeping any activation.
// What the logits of a row read in the stream,
//
//	Σ weight·W_U[token]·w / s        w and s are the weight and the divisor of the last norm
//
// is the same behind every layer but for s, which is known at the end: one number for each
// row. So the products of all that is added to the stream with the sum without s are kept.
type directPath struct {
	*weights
	place  place
	from   transformer.Weights // with those that adapters have replaced
	rows   *tensor.Tensor      // [M] I32
	read   *tensor.Tensor      // [M, D] what the logits read, times s
	before *tensor.Tensor      // [M, D] the same before Gemma 2's norm behind attention, or nil
	x      *tensor.Tensor      // [M, D] rows of the stream
	z, dz  *tensor.Tensor      // [M, H·h] rows of the heads' values, and what is read there
	ones   *tensor.Tensor      // [M·H]
	last   *tensor.Tensor      // [M] s, if there is a last norm
	values *tensor.Tensor      // [N, H·h] of the layer in work
	shares []share
	found  *Attribution
}

// share is of what a site adds to the stream, multiplied with what is read there.
type share struct {
	site    transformer.Site
	dots    *tensor.Tensor // [M·heads], with the sign turned
	divisor *tensor.Tensor // [M, 1] of a norm behind the site, or nil
}

func newDirectPath(ctx context.Context, m *transformer.Model, ids [][]int32, terms []Term, o DirectOptions) (*directPath, error) {
	if err := checkSequences(ids); err != nil {
		return nil, err
	}
	p, err := newPlace(m.Config, terms, len(ids), virtualTokens(o.Adapters)+len(ids[0]))
	return &directPath{weights: newWeights(ctx, m), place: p}, err
}

// start computes what the logits read.
func (d *directPath) start(r *transformer.Run, _ transformer.Batch) error {
	plain := false
	if d.from, plain = r.DirectWeights(); !plain {
		return errIndirect
	}
	m, c := len(d.place.rows), d.c
	d.x = d.upload(d.unembedded(), c.Hidden)
	d.read, d.last = d.new(m, c.Hidden), d.new(m)
	d.z, d.dz, d.ones = d.new(m, c.Heads*c.HeadDim), d.new(m, c.Heads*c.HeadDim), d.new(m*c.Heads)
	if c.PostNorms {
		d.before = d.new(m, c.Hidden)
	}
	if norm := d.from.Norm; norm != nil {
		d.do(d.weighing(d.read, d.x, norm)...)
	} else {
		d.do(tensor.Scale{Out: d.read, X: d.x, Factor: 1})
	}
	if d.err == nil {
		d.rows, d.err = tensor.FromInts(d.ctx, d.m.Backend(), "rows", d.place.rows, m)
	}
	if d.err == nil {
		d.tensors = append(d.tensors, d.rows)
		d.do(tensor.Fill{Out: d.ones, Value: 1})
	}
	return d.err
}

// unembedded is Σ weight·W_U[token] of each row.
func (d *directPath) unembedded() []float32 {
	var tokens []int32
	at := map[int32]int{}
	for _, t := range d.place.terms {
		if _, ok := at[t.Token]; !ok {
			at[t.Token] = len(tokens)
			tokens = append(tokens, t.Token)
		}
	}
	n, width := len(d.tensors), d.c.Hidden
	vectors := d.weights.read(d.weights.rows(d.from.Unembed, tokens, 1), n)
	sums := make([]float32, len(d.place.rows)*width)
	for i, t := range d.place.terms {
		if d.err != nil {
			break
		}
		sum := sums[d.place.row[i]*width:][:width]
		for j, v := range vectors[at[t.Token]*width:][:width] {
			sum[j] += float32(t.Weight) * v
		}
	}
	return sums
}

func (d *directPath) tap(p *tensor.Pass, s transformer.Site, t *tensor.Tensor) {
	switch s.Point {
	case transformer.Embed, transformer.PosEmbed, transformer.MLPOut:
		d.take(p, d.x, t)
		d.multiply(p, s, d.x, d.read, nil)
	case transformer.Z:
		if d.values = t; !d.c.PostNorms {
			d.heads(p, s.Layer, d.read, nil)
		}
	case transformer.Norm1PostScale:
		divisor := d.new(len(d.place.rows), 1)
		d.take(p, divisor, t)
		p.Do(d.weighing(d.before, d.read, d.from.Layers[s.Layer].Norm1Post)...)
		d.heads(p, s.Layer, d.before, divisor)
	case transformer.ResidPost:
		if s.Layer == len(d.c.Layers)-1 {
			d.take(p, d.x, t)
			d.multiply(p, s, d.x, d.read, nil)
			p.Do(tensor.RMS{Out: d.last, X: d.x, Eps: d.c.NormEps})
		}
	}
	if d.err != nil {
		p.Fail(d.err)
	}
}

// take records the rows of t.
func (d *directPath) take(p *tensor.Pass, rows, t *tensor.Tensor) {
	if d.err == nil {
		t, d.err = t.Reshape(t.Len()/rows.Cols(), rows.Cols())
	}
	if d.err == nil {
		p.Do(tensor.Gather{Out: rows, X: t, Rows: d.rows})
	}
}

// heads records the products of a layer's heads, whose output is read as given.
func (d *directPath) heads(p *tensor.Pass, l int, read, divisor *tensor.Tensor) {
	d.take(p, d.z, d.values)
	p.Do(tensor.MatMulDX{DX: d.dz, DOut: read, W: d.from.Layers[l].Proj[transformer.OProj]})
	z, err := d.z.Reshape(len(d.place.rows)*d.c.Heads, d.c.HeadDim)
	d.err = errors.Join(d.err, err)
	dz, err := d.dz.Reshape(len(d.place.rows)*d.c.Heads, d.c.HeadDim)
	d.err = errors.Join(d.err, err)
	d.multiply(p, transformer.Site{Layer: l, Point: transformer.Z}, z, dz, divisor)
}

// multiply records the inner products of rows: how a divisor of 1 would matter.
func (d *directPath) multiply(p *tensor.Pass, s transformer.Site, x, y, divisor *tensor.Tensor) {
	if d.err != nil {
		return
	}
	n := x.Rows()
	dots := d.new(n)
	if ones, err := d.ones.Slice(0, n); err == nil && d.err == nil {
		p.Do(tensor.RowDivideDS{DS: dots, DOut: y, X: x, S: ones})
	}
	d.shares = append(d.shares, share{s, dots, divisor})
}

// finish brings the products together.
func (d *directPath) finish() error {
	a := &Attribution{Heads: newTable(d.c), MLPs: make([]float64, len(d.c.Layers))}
	last := d.divisors(d.last, d.from.Norm != nil)
	for _, p := range d.shares {
		dots, own, sums := d.floats(p.dots), d.divisors(p.divisor, p.divisor != nil), make([]float64, p.dots.Len()/len(last))
		for i, v := range dots {
			row := i / len(sums)
			sums[i%len(sums)] -= float64(v) / (last[row] * own[row])
		}
		switch p.site.Point {
		case transformer.Embed:
			a.Embed = sums[0]
		case transformer.PosEmbed:
			a.Positions = sums[0]
		case transformer.MLPOut:
			a.MLPs[p.site.Layer] = sums[0]
		case transformer.Z:
			a.Heads[p.site.Layer] = sums
		case transformer.ResidPost:
			a.Logit = sums[0]
		}
	}
	d.found = a
	return d.err
}

// floats reads a result.
func (d *directPath) floats(t *tensor.Tensor) []float32 { return d.weights.read(t, len(d.tensors)) }

// divisors reads those of a norm; without one, they are 1.
func (d *directPath) divisors(t *tensor.Tensor, normed bool) []float64 {
	all := make([]float64, len(d.place.rows))
	for i := range all {
		all[i] = 1
	}
	if normed {
		for i, v := range d.floats(t) {
			all[i] = float64(v)
		}
	}
	return all
}
