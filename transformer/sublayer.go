package transformer

import "github.com/gpupeft/gpupeft/tensor"

// The pieces that a block is made of, each with its backward. They name the
// points they read and write; a holds the layer's activations, d the gradients.

// A norm is one normalisation: where its values are, and what it is.
type norm struct {
	in, out, rms, normalized *tensor.Tensor // [rows, D]; rms [rows]; normalized nil unless in steps
	w, dw                    *tensor.Tensor // [D]; dw nil unless trained, w nil where nothing is normalised
}

// layerNorm collects what belongs to a layer's norm. Heads of queries and keys are
// normalised one by one: the weight's length says how many values make a row.
func (r *Run) layerNorm(a *acts, l int, out, in Point) norm {
	w, dw := r.adapters.weights.Layers[l].norm(out), r.adapters.grads.Layers[l].norm(out)
	if w == nil {
		return norm{in: a[in], out: a[out]}
	}
	scale, normalized := normSteps(out)
	rows := a[in].Len() / w.Len()
	n := norm{in: view(a[in], rows, w.Len()), out: view(a[out], rows, w.Len()), w: w, dw: dw}
	if a[scale] != nil {
		n.rms = view(a[scale], rows)
	}
	if a[normalized] != nil {
		n.normalized = view(a[normalized], rows, w.Len())
	}
	return n
}

// norm normalises point in.
func (r *Run) norm(p *tensor.Pass, l int, out, in Point) {
	a := &r.plan.layers[l]
	scale, normalized := normSteps(out)
	r.normalize(p, r.layerNorm(a, l, out, in), Site{l, scale}, Site{l, normalized})
	r.tap(p, Site{l, out}, a[out])
}

// normalize records a norm, in steps if there is room for them.
func (r *Run) normalize(p *tensor.Pass, n norm, scale, normalized Site) {
	c := r.model.Config
	if n.w == nil {
		p.Do(tensor.Scale{Out: n.out, X: n.in, Factor: 1})
		return
	}
	if n.normalized == nil {
		p.Do(tensor.RMSNorm{Out: n.out, RMS: n.rms, X: n.in, W: n.w, Eps: c.NormEps, Offset: c.NormOffset})
		r.tap(p, scale, n.rms)
		return
	}
	p.Do(tensor.RMS{Out: n.rms, X: n.in, Eps: c.NormEps})
	r.tap(p, scale, n.rms)
	p.Do(tensor.RowDivide{Out: n.normalized, X: n.in, S: n.rms})
	r.tap(p, normalized, n.normalized)
	r.weigh(p, n.out, n.normalized, n.w)
}

// weigh multiplies columns with a norm's weight, or one plus it.
func (r *Run) weigh(p *tensor.Pass, out, x, w *tensor.Tensor) {
	p.Do(tensor.ColumnScale{Out: out, X: x, S: w})
	if offset := r.model.Config.NormOffset; offset != 0 {
		p.Do(tensor.Scale{Out: out, X: x, Factor: offset, Add: true})
	}
}

func (r *Run) normBackward(p *tensor.Pass, l int, in, out Point, add bool) {
	if out != AttnOut && out != MLPOut { // whose gradient fork has shown
		r.gradTap(p, Site{l, out}, r.plan.grads[out])
	}
	scale, normalized := normSteps(out)
	r.normalizeBackward(p, r.layerNorm(&r.plan.layers[l], l, out, in), r.layerNorm(&r.plan.grads, l, out, in),
		Site{l, scale}, Site{l, normalized}, add)
}

// normalizeBackward takes the gradient in d from out to in, where it is set or added.
func (r *Run) normalizeBackward(p *tensor.Pass, n, d norm, scale, normalized Site, add bool) {
	c := r.model.Config
	if n.w == nil {
		p.Do(tensor.Scale{Out: d.in, X: d.out, Factor: 1, Add: add})
		return
	}
	if n.normalized == nil {
		if n.dw != nil {
			p.Do(tensor.RMSNormDW{DW: n.dw, DOut: d.out, X: n.in, RMS: n.rms, Add: true})
		}
		p.Do(tensor.RMSNormDX{DX: d.in, DOut: d.out, X: n.in, W: n.w, RMS: n.rms, Offset: c.NormOffset, Add: add})
		return
	}
	if n.dw != nil {
		p.Do(tensor.ColumnSums{Out: n.dw, A: d.out, B: n.normalized, Add: true})
	}
	r.weigh(p, d.normalized, d.out, n.w)
	r.gradTap(p, normalized, d.normalized)
	p.Do(tensor.RowDivideDS{DS: d.rms, DOut: d.normalized, X: n.in, S: n.rms})
	r.gradTap(p, scale, d.rms)
	p.Do(tensor.RowDivide{Out: d.in, X: d.normalized, S: n.rms, Add: add},
		tensor.RMSBackward{DX: d.in, DOut: d.rms, X: n.in, Eps: c.NormEps})
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

// adaptBackward is the way back.
func (r *Run) adaptBackward(p *tensor.Pass, l int, s Sublayer, given, stream Point) {
	d, list := &r.plan.grads, r.adapters.sublayers[l][s]
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
	if r.showsPattern(l) {
		p.Do(tensor.AttentionScores{Scores: a[Scores], Q: a[RotQ], K: k, Segment: r.segments(), Heads: h})
		r.tap(p, Site{l, Scores}, a[Scores])
		p.Do(tensor.Softmax{Out: a[Pattern], X: a[Scores]})
		r.tap(p, Site{l, Pattern}, a[Pattern])
		p.Do(tensor.AttentionMix{Z: a[AttnZ], Pattern: a[Pattern], V: v, Heads: h})
	} else {
		stats := view(a[AttnStats], r.tokens()*h.Heads, 2)
		p.Do(tensor.Attention{Z: a[AttnZ], Stats: stats, Q: a[RotQ], K: k, V: v, Segment: r.segments(), Heads: h})
		r.tap(p, Site{l, AttnStats}, stats)
	}
	if r.mixes() {
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
	if r.showsPattern(l) {
		p.Do(tensor.AttentionMixBackward{DPattern: d[Pattern], DV: dv, DZ: d[Z], Pattern: a[Pattern], V: v, Heads: h})
		r.gradTap(p, Site{l, Pattern}, d[Pattern])
		if r.edits(Site{l, Pattern}) { // the softmax's own result is read
			p.Do(tensor.Softmax{Out: a[Pattern], X: a[Scores]})
		}
		p.Do(tensor.SoftmaxBackward{DX: d[Scores], DOut: d[Pattern], Out: a[Pattern]})
		r.gradTap(p, Site{l, Scores}, d[Scores])
		if r.edits(Site{l, Scores}) { // likewise
			p.Do(tensor.AttentionScores{Scores: a[Scores], Q: a[RotQ], K: k, Segment: r.segments(), Heads: h})
		}
		p.Do(tensor.AttentionScoresBackward{DQ: d[RotQ], DK: dk, DScores: d[Scores], Scores: a[Scores], Q: a[RotQ], K: k, Heads: h})
	} else {
		p.Do(tensor.AttentionBackward{
			DQ: d[RotQ], DK: dk, DV: dv, DZ: d[Z], Z: a[AttnZ], Stats: view(a[AttnStats], r.tokens()*h.Heads, 2),
			Q: a[RotQ], K: k, V: v, Segment: r.segments(), Heads: h,
		})
	}
	r.splitKeyGradients(p, l, dk, dv)
	for _, ad := range r.adapters.attention[l] {
		ad.Backward(p, d[RotQ], d[Z], a[RotQ])
	}
}

// mixes says whether Z comes apart from what attention itself gives.
func (r *Run) mixes() bool { return r.adapters.beside || r.options.Train && r.editsPoint(Z) }

// Attended returns how a layer's attention of the batch in work sees its keys, which are
// those of a prefix or cache, too: for a Tap that computes with queries, keys and
// AttnStats at Z. segment may be nil.
func (r *Run) Attended(l int) (h tensor.Heads, k, segment *tensor.Tensor) {
	k = r.plan.layers[l][RotK]
	n := r.batch.sequences * r.keys(r.batch.length)
	switch {
	case r.cache != nil:
		k = view(r.cache.k[l], n, k.Cols())
	case r.adapters.prefix != nil:
		k = view(r.prefixed.k, n, k.Cols())
	}
	return r.heads(l), k, r.segments()
}
