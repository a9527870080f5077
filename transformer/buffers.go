package transformer

import (
	"errors"
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// arena allocates tensors and frees them together. It keeps its first error, and
// returns nil for allocations after that.
type arena struct {
	backend tensor.Backend
	tensors []*tensor.Tensor
	err     error
}

func (a *arena) new(name string, dt tensor.DType, shape ...int) *tensor.Tensor {
	if a.err != nil {
		return nil
	}
	t, err := a.backend.New(name, dt, shape...)
	if err != nil {
		a.err = fmt.Errorf("buffer %s %v: %w", name, shape, err)
		return nil
	}
	a.tensors = append(a.tensors, t)
	return t
}

func (a *arena) close() error {
	var err error
	for _, t := range a.tensors {
		err = errors.Join(err, t.Close())
	}
	a.tensors = nil
	return err
}

// acts are a layer's activations, or their gradients, by point. Those that the run
// doesn't have are nil.
type acts [numPoints]*tensor.Tensor

// plan holds a run's activations, as allocated or as views for one batch's shape.
type plan struct {
	layers []acts
	grads  acts // of the layer that Backward is in; nil without Train
}

// slot names the buffer that holds a point of a layer: equal slots share memory.
// This is the whole memory plan. What Backward reads has a buffer in each layer;
// everything else is scratch that the layers share. A layer reads the stream
// where the one below wrote it.
func (r *Run) slot(l int, p Point) Site {
	p = r.aliased(p)
	switch {
	case p == ResidPre && l == 0:
		return Site{Point: Embed}
	case p == ResidPre:
		return r.slot(l-1, ResidPost)
	case r.options.Train && r.kept(p):
		return Site{l, p}
	}
	return Site{0, p}
}

// gradSlot is slot for gradients. The stream has one gradient, to which each sublayer
// adds, and which is that of the sublayer's output as well unless something comes
// between. Where Backward doesn't read a point, its gradient takes the point's scratch.
func (r *Run) gradSlot(p Point) slotKey {
	switch p = r.aliased(p); p {
	case ResidMid, ResidPost:
		p = ResidPre
	case AttnOut, MLPOut:
		if !r.forks() {
			p = ResidPre
		}
	}
	own := r.watched() || r.options.GradCheckpoint || r.kept(p) || r.rebuilt(p)
	return slotKey{Site{0, p}, own}
}

// rebuilt says whether Backward computes a point again, in scratch: the first norm, which
// costs next to nothing.
func (r *Run) rebuilt(p Point) bool {
	return p == Norm1 && !r.watched() && !r.options.GradCheckpoint && r.adapters.readInputs(QProj, KProj, VProj)
}

// aliased returns the point whose values p has too.
func (r *Run) aliased(p Point) Point {
	switch c := r.model.Config; {
	case p == AttnProj && !c.PostNorms:
		return AttnOut
	case p == MLPProj && !c.PostNorms:
		return MLPOut
	case p == QNorm && !c.QKNorm:
		return Q
	case p == KNorm && !c.QKNorm:
		return K
	case p == AttnZ && !r.mixes():
		return Z
	}
	return p
}

// kept says whether a point stays as Forward left it until Backward reads it.
func (r *Run) kept(p Point) bool {
	if r.options.GradCheckpoint {
		return p == ResidPost
	}
	switch p {
	case Q, K: // inputs of the norm, if there is one
		return r.model.Config.QKNorm
	case Norm1:
		return r.watched() || r.adapters.readInputs(QProj, KProj, VProj) && !r.rebuilt(p)
	case Norm2:
		return r.watched() || r.adapters.readInputs(GateProj, UpProj)
	case MLPPost:
		return r.watched() || r.adapters.readInputs(DownProj)
	case QNorm, KNorm, AttnOut, MLPOut:
		return false
	}
	return true
}

// has says whether the run computes a point of a layer.
func (r *Run) has(l int, p Point) bool {
	switch p {
	case Norm1Normalized, QNormNormalized, KNormNormalized, Norm1PostNormalized, Norm2Normalized, Norm2PostNormalized:
		return p.Exists(r.model.Config) && r.showsNorm(l, normOf(p))
	case Scores, Pattern:
		return r.showsPattern(l)
	case AttnStats:
		return !r.showsPattern(l)
	case QNorm, KNorm, ResidMid: // where they don't exist, Q, K and ResidPost
		return true
	}
	return p.Layered() && p.Exists(r.model.Config)
}

// hasGrad says whether a point of a layer has a gradient. That of a norm's divisor is
// part of the steps.
func (r *Run) hasGrad(l int, p Point) bool {
	switch p {
	case Norm1Scale, Norm2Scale, QNormScale, KNormScale, Norm1PostScale, Norm2PostScale:
		return p.Exists(r.model.Config) && r.showsNorm(l, normOf(p))
	case AttnStats:
		return false
	}
	return r.has(l, p)
}

// newPlan lays out the activations for sequences of the given length, which see
// so many keys. get returns the tensor for a slot.
func (r *Run) newPlan(sequences, length, keys int, get func(k slotKey, shape []int) *tensor.Tensor) plan {
	p := plan{layers: make([]acts, r.layers())}
	for l := range p.layers {
		for point := range numPoints {
			if r.has(l, point) {
				p.layers[l][point] = get(slotKey{r.slot(l, point), false}, r.shape(point, sequences, length, keys))
			}
			if r.options.Train && p.grads[point] == nil && r.hasGrad(l, point) {
				p.grads[point] = get(r.gradSlot(point), r.shape(point, sequences, length, keys))
			}
		}
	}
	return p
}

// shape returns a point's dimensions for a batch.
func (r *Run) shape(p Point, sequences, length, keys int) []int {
	c, n := r.model.Config, sequences*length
	if p == Scores || p == Pattern {
		return []int{n * c.Heads, keys}
	}
	return []int{n, p.size(c, keys)}
}

// slotKey tells an activation's buffer from its gradient's.
type slotKey struct {
	site Site
	grad bool
}

// allocatePlan makes the buffers for the largest batch.
func (r *Run) allocatePlan(keys int) map[slotKey]*tensor.Tensor {
	made := map[slotKey]*tensor.Tensor{}
	r.newPlan(r.options.Batch, r.options.Length, keys, func(k slotKey, shape []int) *tensor.Tensor {
		if made[k] == nil {
			name := k.site.String()
			if k.grad {
				name += ".grad"
			}
			made[k] = r.memory.new(name, tensor.F32, shape...)
		}
		return made[k]
	})
	return made
}

// view returns the leading values of a buffer under another shape.
func view(t *tensor.Tensor, shape ...int) *tensor.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	flat, err := t.Reshape(t.Len())
	if err == nil {
		flat, err = flat.Slice(0, n)
	}
	if err == nil {
		flat, err = flat.Reshape(shape...)
	}
	if err != nil { // beyond the capacity, which prepare has checked
		return nil
	}
	return flat
}
