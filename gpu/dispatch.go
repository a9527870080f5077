package gpu

import (
	"fmt"
	"math"
)

// MaxParams is the largest length of Dispatch.Params in bytes.
const MaxParams = 256

// OffsetAlignment is what Binding.Offset must be a multiple of. Some GPUs would
// do with less; one number for all keeps code that runs on one GPU running on
// every other.
const OffsetAlignment = 256

// MaxLoopSteps is the number of loop iterations that one invocation of a kernel
// may do in all of its loops together. Mesa's software rasteriser, which stands in
// for a GPU where there is none, ends loops silently after 65,535 iterations.
const MaxLoopSteps = 60_000

// A Binding is the part of a buffer that one storage variable of a kernel sees.
// A Size of zero means all bytes from Offset to the end. Offset must be a multiple
// of OffsetAlignment, Size of 4.
type Binding struct {
	Buffer       *Buffer
	Offset, Size int64
}

// A Dispatch is one launch of a kernel.
type Dispatch struct {
	Kernel *Kernel
	// Bindings are the buffers of the kernel's storage variables, in rising order
	// of @binding, see [Kernel.Bindings]. A buffer that appears more than once must
	// be read_write in each place, or read in each place, even if the ranges do
	// not overlap: this is WebGPU's rule.
	Bindings []Binding
	// Params are the bytes of the var<uniform> of the kernel, laid out as WGSL
	// says, at most MaxParams; they are copied, so that the slice may be used again.
	Params []byte
	// Groups is the number of workgroups along x, y and z, at most
	// Limits.WorkgroupsPerDim each. If one is zero, nothing is run.
	Groups [3]uint32
	// Cost estimates the work of the dispatch in floating point operations, or in
	// bytes moved for kernels that mostly move them. The device learns how fast it
	// does the operations of each kernel, and bounds its submissions by that. Zero
	// means one for every invocation.
	Cost float64
	// Shape tells dispatches of one kernel apart in timings, unless it is zero: for a
	// matrix product its rows, columns and inner dimension.
	Shape [3]int
	// LoopSteps is the number of loop iterations of the invocation that does most
	// of them, at most MaxLoopSteps.
	LoopSteps int
}

// label names the dispatch in timings.
func (x *Dispatch) label() string {
	if x.Shape == [3]int{} {
		return x.Kernel.label
	}
	return fmt.Sprintf("%s of %d×%d×%d", x.Kernel.label, x.Shape[0], x.Shape[1], x.Shape[2])
}

// length is the size of the binding in bytes.
func (b Binding) length() int64 {
	if b.Size == 0 {
		return b.Buffer.size - b.Offset
	}
	return b.Size
}

// check refuses what the native library refuses, aborts on, or does not notice.
func (d *Device) check(x *Dispatch) error {
	k := x.Kernel
	if k == nil {
		return fmt.Errorf("%w: no kernel", ErrArgument)
	}
	if err := d.checkAll(x); err != nil {
		return fmt.Errorf("kernel %q: %w", k.label, err)
	}
	return nil
}

func (d *Device) checkAll(x *Dispatch) error {
	k := x.Kernel
	if k.dev != d {
		return fmt.Errorf("%w: it belongs to another device", ErrArgument)
	}
	for _, n := range x.Groups {
		if n > d.limits.WorkgroupsPerDim {
			return fmt.Errorf("%w: %v workgroups, the limit is %d along each of x, y and z", ErrLimit, x.Groups, d.limits.WorkgroupsPerDim)
		}
	}
	if x.LoopSteps < 0 || x.LoopSteps > MaxLoopSteps {
		return fmt.Errorf("%w: %d loop steps in one invocation, the limit is %d; spread the loop over invocations or dispatches", ErrLimit, x.LoopSteps, MaxLoopSteps)
	}
	if !(x.Cost >= 0 && x.Cost <= math.MaxFloat64) {
		return fmt.Errorf("%w: cost %v", ErrArgument, x.Cost)
	}
	if err := k.shape.checkParams(x.Params); err != nil {
		return err
	}
	if len(x.Bindings) != len(k.shape.storage) {
		return fmt.Errorf("%w: %d bindings, it has %d storage variables", ErrArgument, len(x.Bindings), len(k.shape.storage))
	}
	for i, b := range x.Bindings {
		if err := d.checkBinding(b, &k.shape.storage[i]); err != nil {
			return fmt.Errorf("binding %d, %q: %w", i, k.shape.storage[i].Name, err)
		}
		for j, other := range x.Bindings[:i] {
			if other.Buffer == b.Buffer && k.shape.storage[j].ReadOnly != k.shape.storage[i].ReadOnly {
				return fmt.Errorf("%w: buffer %q is bound to read %q and to write %q; no buffer may be both in one dispatch, even in different parts",
					ErrArgument, b.Buffer.label, k.shape.storage[j].Name, k.shape.storage[i].Name)
			}
		}
	}
	return nil
}

func (s *kernelShape) checkParams(p []byte) error {
	n := int64(len(p))
	switch {
	case s.uniform < 0 && n > 0:
		return fmt.Errorf("%w: %d bytes of params, but it uses no uniform variable", ErrArgument, n)
	case s.uniform >= 0 && n == 0:
		return fmt.Errorf("%w: no params, but it uses a uniform variable", ErrArgument)
	case n > MaxParams || n%4 != 0:
		return fmt.Errorf("%w: %d bytes of params; they must be a multiple of 4, at most %d", ErrArgument, n, MaxParams)
	case s.paramsSize > 0 && (n < s.paramsSize || n > roundUp(s.paramsSize, 16)):
		return fmt.Errorf("%w: %d bytes of params, its uniform variable has %d", ErrArgument, n, s.paramsSize)
	}
	return nil
}

func (d *Device) checkBinding(b Binding, v *storageVariable) error {
	if err := d.open(b.Buffer); err != nil {
		return err
	}
	name, size := b.Buffer.label, b.Buffer.size
	switch {
	case b.Offset < 0 || b.Offset >= size || b.Size < 0 || b.Size > size-b.Offset:
		return fmt.Errorf("%w: offset %d and size %d in buffer %q of %d bytes", ErrArgument, b.Offset, b.Size, name, size)
	case b.Offset%OffsetAlignment != 0:
		return fmt.Errorf("%w: offset %d in buffer %q is not a multiple of %d", ErrArgument, b.Offset, name, OffsetAlignment)
	case b.Size%4 != 0:
		return fmt.Errorf("%w: size %d in buffer %q is not a multiple of 4", ErrArgument, b.Size, name)
	case b.length() > d.limits.BindingSize:
		return fmt.Errorf("%w: %d bytes of buffer %q, the limit of a binding is %d; bind parts of it", ErrLimit, b.length(), name, d.limits.BindingSize)
	case b.length() < v.minSize:
		return fmt.Errorf("%w: %d bytes of buffer %q, the variable needs %d", ErrArgument, b.length(), name, v.minSize)
	}
	return nil
}
