package transformer

import "github.com/gpupeft/gpupeft/tensor"

// The pieces that a block is made of, each with its backward. They name the
// points they read and write; a holds the layer's activations, d the gradients.

// norm normalises point in. Heads of queries and keys are normalised one by one:
// the weight's length says how many values make a row.
func (r *Run) norm(p *tensor.Pass, l int, out, rms, in Point) {
	c, a, w := r.model.Config, &r.plan.layers[l], r.adapters.weights.Layers[l].norm(out)
	rows := a[in].Len() / w.Len()
	p.Do(tensor.RMSNorm{Out: view(a[out], rows, w.Len()), RMS: view(a[rms], rows), X: view(a[in], rows, w.Len()),
		W: w, Eps: c.NormEps, Offset: c.NormOffset})
	r.tap(p, Site{l, rms}, a[rms])
	r.tap(p, Site{l, out}, a[out])
}

func (r *Run) normBackward(p *tensor.Pass, l int, in, out, rms Point, add bool) {
	c, a, d := r.model.Config, &r.plan.layers[l], &r.plan.grads
	w, dw := r.adapters.weights.Layers[l].norm(out), r.adapters.grads.Layers[l].norm(out)
	if out == Norm1 || out == Norm2 || out == QNorm || out == KNorm {
		r.gradTap(p, Site{l, out}, d[out])
	}
	rows := a[in].Len() / w.Len()
	if dw != nil {
		p.Do(tensor.RMSNormDW{DW: dw, DOut: view(d[out], rows, w.Len()), X: view(a[in], rows, w.Len()), RMS: view(a[rms], rows), Add: true})
	}
	p.Do(tensor.RMSNormDX{DX: view(d[in], rows, w.Len()), DOut: view(d[out], rows, w.Len()), X: view(a[in], rows, w.Len()),
		W: w, RMS: view(a[rms], rows), Offset: c.NormOffset, Add: add})
}

// norm returns the weight of the norm that gives a point.
func (l *Layer) norm(out Point) *tensor.Tensor {
	switch out {
	case Norm1:
		return l.Norm1
	case Norm2:
		return l.Norm2
	case QNorm:
		return l.QNorm
	case KNorm:
		return l.KNorm
	case AttnOut:
		return l.Norm1Post
	}
	return l.Norm2Post
}

// project multiplies with a weight matrix, as adapters have changed it.
func (r *Run) project(p *tensor.Pass, l int, proj Proj, out, in Point) {
	a := &r.plan.layers[l]
	r.adapters.linears[l][proj].Forward(p, a[out], a[in])
	r.tap(p, Site{l, out}, a[out])
}

// projectBackward leaves out the gradient of its input if nothing is trained below.
func (r *Run) projectBackward(p *tensor.Pass, l int, proj Proj, in, out Point, add bool) {
	a, d := &r.plan.layers[l], &r.plan.grads
	r.gradTap(p, Site{l, out}, d[out])
	din := d[in]
	if in == Norm1 && !r.needsNorm1(l) {
		din = nil
	}
	r.adapters.linears[l][proj].Backward(p, din, d[out], a[in], add)
}

// adapt lets adapters change what a sublayer's last projection gives.
func (r *Run) adapt(p *tensor.Pass, l int, s Sublayer, given, stream Point) {
	for _, ad := range r.adapters.sublayers[l][s] {
		ad.Forward(p, r.plan.layers[l][given], r.plan.layers[l][stream])
	}
}

// adaptBackward is the way back. Without post-norms, the gradient of what is given is
// the stream's own, and becomes a copy if adapters are to change it: see gradSlot.
func (r *Run) adaptBackward(p *tensor.Pass, l int, s Sublayer, given, stream Point) {
	d := &r.plan.grads
	if r.adapters.after && !r.model.Config.PostNorms {
		p.Do(tensor.Scale{Out: d[given], X: d[stream], Factor: 1})
	}
	list := r.adapters.sublayers[l][s]
	for i := len(list) - 1; i >= 0; i-- {
		list[i].Backward(p, d[given], d[stream], r.plan.layers[l][stream])
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
		Batch: r.batch.sequences, Queries: r.batch.length, Keys: r.keys(r.batch.length), First: r.filled(),
		Heads: c.Heads, KVHeads: c.KVHeads, Dim: c.HeadDim,
		Window: c.Layers[l].Window, Scale: c.AttnScale, SoftCap: c.AttnSoftCap,
	}
	if r.batch.packed {
		h.Prefix = r.adapters.prefixTokens() // which all documents see
	}
	return h
}

// segments returns the numbers of documents and the marks of padding, or nil if there
// is one document a sequence and no padding.
func (r *Run) segments() *tensor.Tensor {
	if !r.batch.segmented {
		return nil
	}
	return view(r.input.segments, r.batch.sequences*r.keys(r.batch.length))
}

// attend mixes values: streaming, or in steps if the pattern is wanted.
func (r *Run) attend(p *tensor.Pass, l int) {
	a, h := &r.plan.layers[l], r.heads(l)
	k, v := r.keysAndValues(p, l)
	if r.options.Patterns {
		p.Do(tensor.AttentionScores{Scores: a[Scores], Q: a[RotQ], K: k, Segment: r.segments(), Heads: h})
		r.tap(p, Site{l, Scores}, a[Scores])
		p.Do(tensor.Softmax{Out: a[Pattern], X: a[Scores]})
		r.tap(p, Site{l, Pattern}, a[Pattern])
		p.Do(tensor.AttentionMix{Z: a[AttnZ], Pattern: a[Pattern], V: v, Heads: h})
	} else {
		stats := view(a[AttnStats], r.tokens()*h.Heads, 2)
		p.Do(tensor.Attention{Z: a[AttnZ], Stats: stats, Q: a[RotQ], K: k, V: v, Segment: r.segments(), Heads: h})
	}
	if r.adapters.beside {
		p.Do(tensor.Scale{Out: a[Z], X: a[AttnZ], Factor: 1})
	}
	for _, ad := range r.adapters.attention[l] {
		ad.Forward(p, a[Z], a[RotQ])
	}
	r.tap(p, Site{l, Z}, a[Z])
}

func (r *Run) attendBackward(p *tensor.Pass, l int) {
	a, d, h := &r.plan.layers[l], &r.plan.grads, r.heads(l)
	r.gradTap(p, Site{l, Z}, d[Z])
	k, v := r.keysAndValues(p, l)
	dk, dv := r.keyGradients()
	if r.options.Patterns {
		p.Do(tensor.AttentionMixBackward{DPattern: d[Pattern], DV: dv, DZ: d[Z], Pattern: a[Pattern], V: v, Heads: h})
		r.gradTap(p, Site{l, Pattern}, d[Pattern])
		p.Do(tensor.SoftmaxBackward{DX: d[Scores], DOut: d[Pattern], Out: a[Pattern]})
		r.gradTap(p, Site{l, Scores}, d[Scores])
		p.Do(tensor.AttentionScoresBackward{DQ: d[RotQ], DK: dk, DScores: d[Scores], Scores: a[Scores], Q: a[RotQ], K: k, Heads: h})
	} else {
		p.Do(tensor.AttentionBackward{DQ: d[RotQ], DK: dk, DV: dv, DZ: d[Z], Z: a[AttnZ], Stats: view(a[AttnStats], r.tokens()*h.Heads, 2),
			Q: a[RotQ], K: k, V: v, Segment: r.segments(), Heads: h})
	}
	r.splitKeyGradients(p, l, dk, dv)
	for _, ad := range r.adapters.attention[l] {
		ad.Backward(p, d[RotQ], d[Z], a[RotQ])
	}
}
