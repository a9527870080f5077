package interp

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// directByGradient is Direct in a pass forward and back, of which only the direct path is
// left: for adapters, whose way back nobody else knows.
func directByGradient(ctx context.Context, m *transformer.Model, ids [][]int32, terms []Term, o DirectOptions) (*Attribution, error) {
	length := virtualTokens(o.Adapters) + len(ids[0])
	p, err := newPlace(m.Config, terms, len(ids), length)
	if err != nil {
		return nil, err
	}
	d := &directTap{place: p, ctx: ctx, c: m.Config, copies: map[directKey]*tensor.Tensor{}}
	r, err := m.NewRun(transformer.RunOptions{
		Batch: len(ids), Length: length, Train: true, Adapters: o.Adapters,
		Hooks: transformer.Hooks{Tap: d.tap, GradTap: d.gradTap, Wants: d.wants},
	})
	if err != nil {
		return nil, err
	}
	a, err := d.run(r, withPrompt(r, ids, o.Task))
	return a, errors.Join(err, d.close(), r.Close())
}

// directTap lets the gradient pass along the direct path alone, and keeps what the
// shares are computed from.
type directTap struct {
	place
	ctx    context.Context // of the call that it lives in
	c      *transformer.Config
	copies map[directKey]*tensor.Tensor
	seed   *tensor.Tensor // the gradient of the logits before a soft-cap
	back   bool           // the logits are computed again
}

type directKey struct {
	site transformer.Site
	grad bool
}

func (d *directTap) wants(s transformer.Site) bool {
	switch s.Point {
	case transformer.FinalScale, transformer.Norm1PostScale, transformer.Norm2PostScale:
		return true
	case transformer.UnembedOut:
		return d.c.FinalSoftCap > 0
	}
	return false
}

func (d *directTap) keep(p *tensor.Pass, key directKey, t *tensor.Tensor) {
	dup, err := p.Backend().New(key.site.String(), tensor.F32, t.Len())
	if err != nil {
		p.Fail(err)
		return
	}
	d.copies[key] = dup
	p.Do(tensor.Scale{Out: dup, X: t, Factor: 1})
}

func (d *directTap) tap(p *tensor.Pass, s transformer.Site, t *tensor.Tensor) {
	switch s.Point {
	case transformer.Embed, transformer.PosEmbed, transformer.Z, transformer.MLPOut:
		d.keep(p, directKey{s, false}, t)
	case transformer.UnembedOut:
		if d.c.FinalSoftCap > 0 && !d.back {
			d.keep(p, directKey{s, false}, t)
		}
	}
}

func (d *directTap) gradTap(p *tensor.Pass, s transformer.Site, t *tensor.Tensor) {
	switch s.Point {
	case transformer.UnembedOut:
		if d.seed != nil {
			p.Do(tensor.Scale{Out: t, X: d.seed, Factor: 1})
		}
	case transformer.FinalScale, transformer.Norm1PostScale, transformer.Norm2PostScale, transformer.MLPPost:
		p.Do(tensor.Fill{Out: t})
	case transformer.Z:
		d.keep(p, directKey{s, true}, t)
		p.Do(tensor.Fill{Out: t})
	case transformer.Embed, transformer.PosEmbed, transformer.MLPOut:
		d.keep(p, directKey{s, true}, t)
	}
}

func (d *directTap) run(r *transformer.Run, b transformer.Batch) (*Attribution, error) {
	if err := r.Forward(d.ctx, b); err != nil {
		return nil, err
	}
	logits, err := r.Logits(d.ctx, d.rows)
	if err != nil {
		return nil, err
	}
	be := r.Model().Backend()
	if t := d.copies[directKey{transformer.Site{Point: transformer.UnembedOut}, false}]; t != nil {
		if logits, err = tensor.Floats(d.ctx, be, t); err != nil {
			return nil, err
		}
	}
	a, seed := &Attribution{Heads: newTable(d.c), MLPs: make([]float64, len(d.c.Layers))}, make([]float32, len(logits))
	for n, t := range d.terms {
		i := d.row[n]*d.c.VocabSize + int(t.Token)
		a.Logit += t.Weight * float64(logits[i])
		seed[i] += float32(t.Weight)
	}
	if d.c.FinalSoftCap > 0 {
		if d.seed, err = tensor.FromFloats(d.ctx, be, "seed", seed, len(seed)); err != nil {
			return nil, err
		}
	}
	d.back = true
	if err := r.BackwardFrom(d.ctx, d.rows, seed); err != nil {
		return nil, err
	}
	return a, d.shares(be, a)
}

// shares multiplies outputs with gradients.
func (d *directTap) shares(be tensor.Backend, a *Attribution) error {
	for key, t := range d.copies {
		grad := d.copies[directKey{key.site, true}]
		if key.grad || grad == nil {
			continue
		}
		x, err := tensor.Floats(d.ctx, be, t)
		if err != nil {
			return err
		}
		g, err := tensor.Floats(d.ctx, be, grad)
		if err != nil {
			return err
		}
		l := key.site.Layer
		switch key.site.Point {
		case transformer.Embed:
			a.Embed = dot(x, g)
		case transformer.PosEmbed:
			a.Positions = dot(x, g)
		case transformer.MLPOut:
			a.MLPs[l] = dot(x, g)
		case transformer.Z:
			headDots(a.Heads[l], d.c.HeadDim, x, g)
		}
	}
	return nil
}

// dot is Σ x·y.
func dot(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}

// headDots adds Σ x·y of each head, given values [N, heads, dim].
func headDots(sums []float64, dim int, x, y []float32) {
	for i := 0; i < len(x); i += dim {
		sums[i/dim%len(sums)] += dot(x[i:i+dim], y[i:i+dim])
	}
}

func (d *directTap) close() error {
	err := d.seed.Close()
	for _, t := range d.copies {
		err = errors.Join(err, t.Close())
	}
	return err
}
