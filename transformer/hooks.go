package transformer

import "github.com/gpupeft/gpupeft/tensor"

// Hooks look at a run's activations and change them. A run without any pays nothing
// for them.
type Hooks struct {
	// Tap, if set, is called for every site while Forward, Logits or Loss is recorded.
	// It may record operations that read t, which has the site's values, and those that
	// change t if Edits says so. It may also submit the pass, to compute on the host.
	Tap func(p *tensor.Pass, s Site, t *tensor.Tensor)
	// GradTap is the same for the gradients in Backward. Where Edits says so, t is the
	// gradient of what Tap has made of the activation, and GradTap is to turn it into
	// that of what Tap was given.
	GradTap func(p *tensor.Pass, s Site, t *tensor.Tensor)
	// Wants says which sites must exist although the fused operations leave them out
	// (see the points): the layer, or norm, of such a site is computed in steps.
	Wants func(s Site) bool
	// Edits says which sites Tap changes.
	Edits func(s Site) bool
}

func (r *Run) tap(p *tensor.Pass, s Site, t *tensor.Tensor) {
	if r.options.Tap != nil {
		r.options.Tap(p, s, t)
	}
}

func (r *Run) gradTap(p *tensor.Pass, s Site, t *tensor.Tensor) {
	if r.options.GradTap != nil {
		r.options.GradTap(p, s, t)
	}
}

// watched says whether there are hooks, which may read or change what Backward doesn't need.
func (r *Run) watched() bool {
	h := &r.options.Hooks
	return h.Tap != nil || h.GradTap != nil || h.Wants != nil || h.Edits != nil
}

// edits says whether a site is changed.
func (r *Run) edits(s Site) bool { return r.options.Edits != nil && r.options.Edits(s) }

// editsPoint says whether it is, in any layer.
func (r *Run) editsPoint(p Point) bool {
	for l := range r.layers() {
		if r.edits(Site{l, p}) {
			return true
		}
	}
	return false
}

// wants says whether one of a layer's points must exist.
func (r *Run) wants(l int, points ...Point) bool {
	for _, p := range points {
		if s := (Site{l, p}); r.edits(s) || r.options.Wants != nil && r.options.Wants(s) {
			return true
		}
	}
	return false
}

// showsPattern says whether a layer computes attention in steps.
func (r *Run) showsPattern(l int) bool { return r.wants(l, Scores, Pattern) }

// showsNorm says whether a layer computes the norm with the given result in steps.
func (r *Run) showsNorm(l int, out Point) bool {
	scale, normalized := normSteps(out)
	return r.wants(l, scale, normalized)
}

// normSteps returns the points on the way to a norm's result.
func normSteps(out Point) (scale, normalized Point) {
	switch out {
	case Norm1:
		return Norm1Scale, Norm1Normalized
	case QNorm:
		return QNormScale, QNormNormalized
	case KNorm:
		return KNormScale, KNormNormalized
	case AttnOut:
		return Norm1PostScale, Norm1PostNormalized
	case Norm2:
		return Norm2Scale, Norm2Normalized
	case MLPOut:
		return Norm2PostScale, Norm2PostNormalized
	}
	return FinalScale, FinalNormalized
}

// normOf is the inverse of normSteps.
func normOf(step Point) Point {
	for _, out := range []Point{Norm1, QNorm, KNorm, AttnOut, Norm2, MLPOut} {
		if scale, normalized := normSteps(out); step == scale || step == normalized {
			return out
		}
	}
	return UnembedIn
}

// forks says whether the gradients of the sublayers' outputs need tensors of their own,
// because something between the sublayers and the stream changes them.
func (r *Run) forks() bool {
	return r.options.Train && (r.adapters.after && !r.model.Config.PostNorms ||
		r.editsPoint(AttnOut) || r.editsPoint(MLPOut) || r.editsPoint(AttnProj) || r.editsPoint(MLPProj))
}

// fork makes the gradient of a sublayer's output from that of the stream.
func (r *Run) fork(p *tensor.Pass, l int, out Point) {
	d := &r.plan.grads
	if r.forks() {
		p.Do(tensor.Scale{Out: d[out], X: d[ResidPre], Factor: 1})
	}
	r.gradTap(p, Site{l, out}, d[out])
}
