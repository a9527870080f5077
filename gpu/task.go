package gpu

import (
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// A task is a dispatch in terms of tensors.
type task struct {
	program  program
	operands []operand // in rising order of @binding
	params   any       // a struct of uint32, int32 and float32, the var<uniform>; or nil
	groups   [3]uint32 // see fold
	cost     float64   // floating-point operations, for the time budget and timings
	shape    [3]int    // for timings, see Dispatch.Shape
	steps    int       // loop iterations of the busiest invocation, all loops together
}

// An operand is a part of a tensor, or of a plain buffer, that a kernel binds.
type operand struct {
	t            *tensor.Tensor
	first, count int // in values of t

	buf *Buffer // instead of t: count f32 values from its start
}

// whole binds all of t.
func whole(t *tensor.Tensor) operand { return operand{t: t, count: t.Len()} }

// part binds count values of t from the value first on, whose place in t must be a
// multiple of 256 bytes.
func part(t *tensor.Tensor, first, count int) operand {
	return operand{t: t, first: first, count: count}
}

// rowsOf binds rows [lo, hi) of t.
func rowsOf(t *tensor.Tensor, lo, hi int) operand {
	return part(t, lo*t.Cols(), (hi-lo)*t.Cols())
}

// add appends tasks.
func (r *recorder) add(ls ...task) error {
	for _, l := range ls {
		d, err := r.dispatch(l)
		if err != nil {
			return err
		}
		r.ds = append(r.ds, d)
	}
	return nil
}

func (r *recorder) dispatch(l task) (Dispatch, error) {
	d := Dispatch{Groups: l.groups, Cost: l.cost, Shape: l.shape, LoopSteps: l.steps}
	for _, o := range l.operands {
		bind, err := r.bind(o)
		if err != nil {
			return d, err
		}
		d.Bindings = append(d.Bindings, bind)
	}
	var err error
	if d.Params, err = encodeParams(l.params); err != nil {
		return d, err
	}
	if d.Kernel, err = r.kernel(l.program, false); err != nil {
		return d, err
	}
	if mixed(d.Kernel, d.Bindings) {
		d.Kernel, err = r.kernel(l.program, true)
	}
	return d, err
}

// mixed reports whether one buffer is bound both to be read and to be written.
func mixed(k *Kernel, bs []Binding) bool {
	infos := k.Bindings()
	if len(infos) != len(bs) {
		return false // Device.Run has an error for this
	}
	for i, a := range bs {
		for j, b := range bs[:i] {
			if a.Buffer == b.Buffer && infos[i].ReadOnly != infos[j].ReadOnly {
				return true
			}
		}
	}
	return false
}

// bind finds the bytes of an operand.
func (r *recorder) bind(o operand) (Binding, error) {
	if o.buf != nil {
		return o.buf.Slice(0, padded(4*int64(o.count), 16)), nil
	}
	s, lo, err := r.storageOf(o.t)
	if err != nil {
		return Binding{}, fmt.Errorf("%v: %w", o.t, err)
	}
	lo += o.t.DType.Bytes(o.first)
	exact := o.t.DType.Bytes(o.count)
	size := padded(exact, 16)
	var sp span
	for sp = range s.spans(lo, exact) {
		break
	}
	lo = sp.first
	switch {
	case sp.n < exact:
		return Binding{}, fmt.Errorf("%v lies in several buffers: %w", o.t, tensor.ErrUnsupported)
	case lo%OffsetAlignment != 0:
		return Binding{}, fmt.Errorf("%v begins at byte %d of its buffer, a GPU needs a multiple of %d: %w",
			o.t, lo, OffsetAlignment, tensor.ErrUnsupported)
	case size > r.limits.BindingSize:
		return Binding{}, fmt.Errorf("%v needs %d bytes at once, the GPU's limit is %d: %w",
			o.t, size, r.limits.BindingSize, tensor.ErrUnsupported)
	}
	return sp.buf.Slice(lo, size), nil
}

// partial returns a buffer for n values between two dispatches of one operation.
// The next operation may overwrite it.
func (r *recorder) partial(n int) (operand, error) {
	size := padded(4*int64(n), 16)
	if r.scratch == nil || r.scratch.Size() < size {
		buf, err := r.dev.NewBuffer("partial results", size)
		if err != nil {
			return operand{}, err
		}
		if r.scratch != nil {
			r.retired = append(r.retired, r.scratch)
		}
		r.scratch = buf
	}
	return operand{buf: r.scratch, count: n}, nil
}

// release closes the buffers that the recorded dispatches alone held. The device
// keeps them until it is done with the work.
func (r *recorder) release() {
	for _, b := range r.retired {
		_ = b.Close()
	}
}

// fold spreads n workgroups over x, and over y where they are too many for x. A
// kernel's place is then
//
//	workgroup_id.y * num_workgroups.x + workgroup_id.x
//
// which may be n or more in the last row: the kernel must guard for that.
func (r *recorder) fold(n int) [3]uint32 {
	limit := int(r.limits.WorkgroupsPerDim)
	if n <= limit {
		return [3]uint32{uint32(n), 1, 1}
	}
	y := ceilDiv(n, limit)
	return [3]uint32{uint32(ceilDiv(n, y)), uint32(y), 1}
}

func ceilDiv(n, m int) int { return (n + m - 1) / m }

// one reads a factor field whose zero value means one.
func one(s float32) float32 {
	if s == 0 {
		return 1
	}
	return s
}

// flag is a bool for params.
func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
