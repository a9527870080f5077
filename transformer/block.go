package transformer

import "github.com/gpupeft/gpupeft/tensor"

// One decoder block, forward and backward. The stream x runs down the left; what
// stands in brackets is Gemma 2's and 3's.
//
//	x ─┬─ Norm1 ─ Q,K,V ─ [QNorm,KNorm] ─ RoPE ─ attention ─ O ─ [Norm1Post] ─┐
//	   + ◄───────────────────────────────────────────────────── AttnOut ─────┘
//	   ├─ Norm2 ─ Gate,Up ─ act(gate)·up ─ Down ─ [Norm2Post] ─┐
//	   + ◄────────────────────────────────────── MLPOut ───────┘
//
// backward mirrors forward from bottom to top. The gradient of the stream is one
// tensor, d[ResidPre], that each branch adds to.

// forward records embedding and blocks.
func (r *Run) forward(p *tensor.Pass) {
	c, n := r.model.Config, r.tokens()
	r.placeInCache()
	x := r.plan.layers[0][ResidPre]
	if r.fresh() {
		r.adapters.begin(p)
	}
	ids := view(r.input.ids, n)
	embed := tensor.Embed{Out: x, IDs: ids, Table: r.adapters.weights.Embed, Scale: c.EmbedScale}
	if r.adapters.prompt != nil {
		embed.Extra = r.adapters.prompt.Rows
	}
	p.Do(embed)
	for _, a := range r.adapters.embeds {
		a.Forward(p, x, ids)
	}
	r.tap(p, Site{Point: Embed}, x)
	r.addPositions(p, x)
	for l := range r.layers() {
		a := &r.plan.layers[l]
		r.forwardHeads(p, l)
		if r.options.HeadsOnly && l == r.layers()-1 {
			return
		}
		r.forwardAttentionOut(p, l)
		if c.FFN > 0 {
			r.forwardMLPHidden(p, l)
			r.forwardMLPOut(p, l)
		} else {
			p.Do(tensor.Scale{Out: a[ResidPost], X: a[ResidMid], Factor: 1})
		}
		r.tap(p, Site{l, ResidPost}, a[ResidPost])
	}
}

// addPositions adds the learned vectors of the positions, if there are any, to the stream.
func (r *Run) addPositions(p *tensor.Pass, x *tensor.Tensor) {
	table, n := r.adapters.weights.Positions, r.tokens()
	if table == nil {
		return
	}
	rows := view(r.input.learned, n, x.Cols())
	p.Do(tensor.Embed{Out: rows, IDs: view(r.input.positions, n), Table: table})
	r.tap(p, Site{Point: PosEmbed}, rows)
	p.Do(tensor.Scale{Out: x, X: rows, Factor: 1, Add: true})
}

// addPositionsBackward records the gradient of those vectors, given that of the stream.
func (r *Run) addPositionsBackward(p *tensor.Pass, dx *tensor.Tensor) {
	if r.adapters.weights.Positions == nil {
		return
	}
	rows := view(r.input.learned, r.tokens(), dx.Cols()) // whose values nobody reads any more
	p.Do(tensor.Scale{Out: rows, X: dx, Factor: 1})
	r.gradTap(p, Site{Point: PosEmbed}, rows)
	if table := r.adapters.grads.Positions; table != nil {
		p.Do(tensor.EmbedBackward{DTable: table, DOut: rows, IDs: view(r.input.positions, r.tokens()), Add: true})
	}
}

func (r *Run) forwardHeads(p *tensor.Pass, l int) {
	c, a := r.model.Config, &r.plan.layers[l]
	r.tap(p, Site{l, ResidPre}, a[ResidPre])
	r.norm(p, l, Norm1, ResidPre)
	r.project(p, l, QProj, Q, Norm1)
	r.project(p, l, KProj, K, Norm1)
	r.project(p, l, VProj, V, Norm1)
	if c.QKNorm {
		r.norm(p, l, QNorm, Q)
		r.norm(p, l, KNorm, K)
	}
	r.rotate(p, l, RotQ, QNorm)
	r.rotate(p, l, RotK, KNorm)
	r.attend(p, l)
}

func (r *Run) forwardAttentionOut(p *tensor.Pass, l int) {
	c, a := r.model.Config, &r.plan.layers[l]
	r.project(p, l, OProj, AttnProj, Z)
	r.adapt(p, l, AttentionSublayer, AttnProj, ResidPre)
	if c.PostNorms {
		r.norm(p, l, AttnOut, AttnProj)
	} else {
		r.tap(p, Site{l, AttnOut}, a[AttnOut])
	}
	p.Do(tensor.Add{Out: a[ResidMid], A: a[ResidPre], B: a[AttnOut]})
	r.tap(p, Site{l, ResidMid}, a[ResidMid])
}

func (r *Run) backwardAttention(p *tensor.Pass, l int) {
	c, d := r.model.Config, &r.plan.grads
	r.gradTap(p, Site{l, ResidMid}, d[ResidMid])
	r.fork(p, l, AttnOut)
	if c.PostNorms {
		r.normBackward(p, l, AttnProj, AttnOut, false)
	}
	r.adaptBackward(p, l, AttentionSublayer, AttnProj, ResidPre)
	r.projectBackward(p, l, OProj, Z, AttnProj, false)
	r.attendBackward(p, l)
	r.rotateBackward(p, l, QNorm, RotQ)
	r.rotateBackward(p, l, KNorm, RotK)
	if c.QKNorm {
		r.normBackward(p, l, Q, QNorm, false)
		r.normBackward(p, l, K, KNorm, false)
	}
	if r.rebuilt(Norm1) {
		r.norm(p, l, Norm1, ResidPre)
	}
	r.projectBackward(p, l, QProj, Norm1, Q, false)
	r.projectBackward(p, l, KProj, Norm1, K, true)
	r.projectBackward(p, l, VProj, Norm1, V, true)
	if r.needsNorm1(l) {
		r.normBackward(p, l, ResidPre, Norm1, true)
	}
	if r.trainsBelow(l) {
		r.gradTap(p, Site{l, ResidPre}, d[ResidPre])
	}
}

func (r *Run) forwardMLPHidden(p *tensor.Pass, l int) {
	c, a := r.model.Config, &r.plan.layers[l]
	r.norm(p, l, Norm2, ResidMid)
	r.project(p, l, GateProj, MLPPre, Norm2)
	r.project(p, l, UpProj, MLPPreLinear, Norm2)
	p.Do(tensor.Gated{Out: a[MLPPost], Gate: a[MLPPre], Up: a[MLPPreLinear], Act: c.Act})
	r.tap(p, Site{l, MLPPost}, a[MLPPost])
}

func (r *Run) forwardMLPOut(p *tensor.Pass, l int) {
	c, a := r.model.Config, &r.plan.layers[l]
	r.project(p, l, DownProj, MLPProj, MLPPost)
	r.adapt(p, l, MLPSublayer, MLPProj, ResidMid)
	if c.PostNorms {
		r.norm(p, l, MLPOut, MLPProj)
	} else {
		r.tap(p, Site{l, MLPOut}, a[MLPOut])
	}
	p.Do(tensor.Add{Out: a[ResidPost], A: a[ResidMid], B: a[MLPOut]})
}

func (r *Run) backwardMLP(p *tensor.Pass, l int) {
	c, a, d := r.model.Config, &r.plan.layers[l], &r.plan.grads
	r.fork(p, l, MLPOut)
	if c.PostNorms {
		r.normBackward(p, l, MLPProj, MLPOut, false)
	}
	r.adaptBackward(p, l, MLPSublayer, MLPProj, ResidMid)
	r.projectBackward(p, l, DownProj, MLPPost, MLPProj, false)
	r.gradTap(p, Site{l, MLPPost}, d[MLPPost])
	p.Do(tensor.GatedBackward{DGate: d[MLPPre], DUp: d[MLPPreLinear], DOut: d[MLPPost], Gate: a[MLPPre], Up: a[MLPPreLinear], Act: c.Act})
	r.projectBackward(p, l, GateProj, Norm2, MLPPre, false)
	r.projectBackward(p, l, UpProj, Norm2, MLPPreLinear, true)
	r.normBackward(p, l, ResidMid, Norm2, true)
}

// backward records the way back from the stream's gradient behind the last layer, as
// far down as anything is trained.
func (r *Run) backward(p *tensor.Pass) {
	for l := len(r.plan.layers) - 1; l >= 0 && (r.trainsBelow(l) || l == r.adapters.lowest); l-- {
		if r.options.GradCheckpoint && l < len(r.plan.layers)-1 {
			r.recompute(p, l)
		}
		r.gradTap(p, Site{l, ResidPost}, r.plan.grads[ResidPost])
		if r.model.Config.FFN > 0 {
			r.backwardMLP(p, l)
		}
		r.backwardAttention(p, l)
	}
	r.embedBackward(p)
	r.adapters.end(p)
}

// embedBackward records the gradient of what the embeddings come from.
func (r *Run) embedBackward(p *tensor.Pass) {
	a, dx, ids := &r.adapters, r.plan.grads[ResidPre], view(r.input.ids, r.tokens())
	r.addPositionsBackward(p, dx)
	r.gradTap(p, Site{Point: Embed}, dx)
	if a.prompt != nil && a.prompt.DRows != nil {
		p.Do(tensor.EmbedBackward{DTable: a.prompt.DRows, DOut: dx, IDs: ids, Extra: true, Add: true})
	}
	if a.grads.Embed != nil {
		p.Do(tensor.EmbedBackward{DTable: a.grads.Embed, DOut: dx, IDs: ids, Scale: r.model.Config.EmbedScale, Add: true})
	}
	for _, e := range a.embeds {
		e.Backward(p, dx, ids)
	}
}

// recompute records what Backward reads of a layer again, from the stream. The last
// layer's activations are still there.
func (r *Run) recompute(p *tensor.Pass, l int) {
	r.forwardHeads(p, l)
	r.forwardAttentionOut(p, l)
	if r.model.Config.FFN == 0 {
		return
	}
	r.forwardMLPHidden(p, l)
	if r.model.Config.PostNorms || len(r.adapters.sublayers[l][MLPSublayer]) > 0 {
		r.forwardMLPOut(p, l) // whose norm or adapter is read
	}
}

// trainsBelow says whether the gradient of a layer's input is wanted.
func (r *Run) trainsBelow(l int) bool {
	return l > r.adapters.lowest || r.adapters.trainsEmbeddings() || r.options.GradTap != nil
}

// needsNorm1 says whether the gradient of a layer's first norm is wanted.
func (r *Run) needsNorm1(l int) bool {
	return r.trainsBelow(l) || r.adapters.grads.Layers[l].Norm1 != nil
}

// tokens is N, the rows of every activation.
func (r *Run) tokens() int { return r.batch.sequences * r.batch.length }
