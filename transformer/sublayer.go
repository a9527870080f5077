package transformer

import "github.com/gpupeft/gpupeft/tensor"

// The pieces that a block is made of, each with its backward. They name the
// points they read and write; a holds the layer's activations, d the gradients.

// norm normalises point in. Heads of queries and keys are normalised one by one:
// the weight's length says how many values make a row.
func (r *Run) norm(p *tensor.Pass, l int, out, rms, in Point, w *tensor.Tensor) {
	c, a := r.model.Config, &r.plan.layers[l]
	rows := a[in].Len() / w.Len()
	p.Do(tensor.RMSNorm{Out: view(a[out], rows, w.Len()), RMS: view(a[rms], rows), X: view(a[in], rows, w.Len()),
		W: w, Eps: c.NormEps, Offset: c.NormOffset})
	r.tap(p, Site{l, rms}, a[rms])
	r.tap(p, Site{l, out}, a[out])
}

func (r *Run) normBackward(p *tensor.Pass, l int, in, out, rms Point, w *tensor.Tensor, add bool) {
	c, a, d := r.model.Config, &r.plan.layers[l], &r.plan.grads
	if out == Norm1 || out == Norm2 || out == QNorm || out == KNorm {
		r.gradTap(p, Site{l, out}, d[out])
	}
	rows := a[in].Len() / w.Len()
	p.Do(tensor.RMSNormDX{DX: view(d[in], rows, w.Len()), DOut: view(d[out], rows, w.Len()), X: view(a[in], rows, w.Len()),
		W: w, RMS: view(a[rms], rows), Offset: c.NormOffset, Add: add})
}

// project multiplies with a weight matrix; adapters add their part.
func (r *Run) project(p *tensor.Pass, l int, proj Proj, out, in Point) {
	a := &r.plan.layers[l]
	p.Do(tensor.MatMul{Out: a[out], X: a[in], W: r.model.Weights.Layers[l].Proj[proj]})
	for _, ad := range r.adapters.linears[l][proj] {
		ad.Forward(p, a[out], a[in])
	}
	r.tap(p, Site{l, out}, a[out])
}

// projectBackward leaves out the gradient of its input if nothing is trained below.
func (r *Run) projectBackward(p *tensor.Pass, l int, proj Proj, in, out Point, add bool) {
	a, d := &r.plan.layers[l], &r.plan.grads
	r.gradTap(p, Site{l, out}, d[out])
	din := d[in]
	if in == Norm1 && !r.trainsBelow(l) {
		din = nil
	} else {
		p.Do(tensor.MatMulDX{DX: din, DOut: d[out], W: r.model.Weights.Layers[l].Proj[proj], Add: add})
	}
	for _, ad := range r.adapters.linears[l][proj] {
		ad.Backward(p, din, d[out], a[in])
	}
}

// rotate applies the rotary embedding.
func (r *Run) rotate(p *tensor.Pass, l int, out, in Point) {
	a := &r.plan.layers[l]
	p.Do(tensor.RoPE{Out: a[out], X: a[in], Table: r.ropes[r.model.Config.Layers[l].RoPE], Pos: view(r.input.positions, r.tokens())})
	r.tap(p, Site{l, out}, a[out])
}

func (r *Run) rotateBackward(p *tensor.Pass, l int, in, out Point) {
	d := &r.plan.grads
	r.gradTap(p, Site{l, out}, d[out])
	p.Do(tensor.RoPE{Out: d[in], X: d[out], Table: r.ropes[r.model.Config.Layers[l].RoPE], Pos: view(r.input.positions, r.tokens()), Inverse: true})
}

// heads gives a layer's attention its geometry.
func (r *Run) heads(l int) tensor.Heads {
	c := r.model.Config
	h := tensor.Heads{
		Batch: r.batch.sequences, Queries: r.batch.length, Keys: r.batch.length,
		Heads: c.Heads, KVHeads: c.KVHeads, Dim: c.HeadDim,
		Window: c.Layers[l].Window, Scale: c.AttnScale, SoftCap: c.AttnSoftCap,
	}
	if r.cache != nil {
		h.First, h.Keys = r.cache.filled, r.cache.keys
	}
	return h
}

// segments returns the padding's marks, or nil if there is none.
func (r *Run) segments() *tensor.Tensor {
	if !r.batch.ragged {
		return nil
	}
	return view(r.input.segments, r.tokens())
}

// attend mixes values: streaming, or in steps if the pattern is wanted.
func (r *Run) attend(p *tensor.Pass, l int) {
	a, k, v := &r.plan.layers[l], r.plan.layers[l][RotK], r.plan.layers[l][V]
	if r.cache != nil {
		k, v = r.cache.extend(p, l, k, v, r.batch.sequences, r.batch.length)
	}
	h := r.heads(l)
	if r.options.Patterns {
		p.Do(tensor.AttentionScores{Scores: a[Scores], Q: a[RotQ], K: k, Segment: r.segments(), Heads: h})
		r.tap(p, Site{l, Scores}, a[Scores])
		p.Do(tensor.Softmax{Out: a[Pattern], X: a[Scores]})
		r.tap(p, Site{l, Pattern}, a[Pattern])
		p.Do(tensor.AttentionMix{Z: a[Z], Pattern: a[Pattern], V: v, Heads: h})
	} else {
		stats := view(a[AttnStats], r.tokens()*h.Heads, 2)
		p.Do(tensor.Attention{Z: a[Z], Stats: stats, Q: a[RotQ], K: k, V: v, Segment: r.segments(), Heads: h})
	}
	r.tap(p, Site{l, Z}, a[Z])
}

func (r *Run) attendBackward(p *tensor.Pass, l int) {
	a, d, h := &r.plan.layers[l], &r.plan.grads, r.heads(l)
	r.gradTap(p, Site{l, Z}, d[Z])
	if r.options.Patterns {
		p.Do(tensor.AttentionMixBackward{DPattern: d[Pattern], DV: d[V], DZ: d[Z], Pattern: a[Pattern], V: a[V], Heads: h})
		r.gradTap(p, Site{l, Pattern}, d[Pattern])
		p.Do(tensor.SoftmaxBackward{DX: d[Scores], DOut: d[Pattern], Out: a[Pattern]})
		r.gradTap(p, Site{l, Scores}, d[Scores])
		p.Do(tensor.AttentionScoresBackward{DQ: d[RotQ], DK: d[RotK], DScores: d[Scores], Scores: a[Scores], Q: a[RotQ], K: a[RotK], Heads: h})
		return
	}
	p.Do(tensor.AttentionBackward{DQ: d[RotQ], DK: d[RotK], DV: d[V], DZ: d[Z], Z: a[Z], Stats: view(a[AttnStats], r.tokens()*h.Heads, 2),
		Q: a[RotQ], K: a[RotK], V: a[V], Segment: r.segments(), Heads: h})
}
