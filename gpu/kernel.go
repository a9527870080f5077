package gpu

import (
	"errors"
	"fmt"
)

// KernelSource is the text of a compute kernel.
type KernelSource struct {
	Label string // for errors and timings
	WGSL  string // the whole module
	Entry string // name of the @compute function
	// WorkgroupMemory is the size in bytes of the var<workgroup> variables that
	// the entry point uses. Zero means that it is worked out from the text, which
	// does for scalars, vectors, matrices, arrays and structs of them.
	WorkgroupMemory uint32
}

// A Kernel is a compiled compute pipeline. It belongs to one device and lives as
// long as that.
type Kernel struct {
	dev   *Device
	id    uint64
	label string
	refs  kernelRefs
	shape kernelShape

	// warm is set when the kernel has been submitted once: drivers compile at the
	// first dispatch, which can take seconds.
	warm bool
	pace pace
}

// BindingInfo describes one storage variable of a kernel.
type BindingInfo struct {
	Name     string // of the variable in WGSL
	Index    uint32 // its @binding
	ReadOnly bool   // declared var<storage, read>
}

// Label returns the label that the kernel was made with.
func (k *Kernel) Label() string { return k.label }

// WorkgroupSize returns the invocations of one workgroup along x, y and z.
func (k *Kernel) WorkgroupSize() [3]uint32 { return k.shape.workgroup }

// Bindings returns the storage variables of the kernel in the order in which
// Dispatch.Bindings must list their buffers.
func (k *Kernel) Bindings() []BindingInfo {
	list := make([]BindingInfo, len(k.shape.storage))
	for i, v := range k.shape.storage {
		list[i] = v.BindingInfo
	}
	return list
}

// kernelKey finds a kernel that was compiled before.
type kernelKey struct{ wgsl, entry string }

// Kernel compiles a kernel, or returns the one that was compiled from the same
// text and entry point before. Errors are ErrKernel, with the compiler's message,
// the line and a caret where it is about the text, or ErrLimit, when the kernel
// needs more than the device has.
func (d *Device) Kernel(src KernelSource) (*Kernel, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return nil, err
	}
	key := kernelKey{src.WGSL, src.Entry}
	if k, ok := d.kernels[key]; ok {
		return k, nil
	}
	shape, err := readShape(src)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKernel, describe(src), err)
	}
	if err := shape.within(d.limits); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrLimit, describe(src), err)
	}
	refs, err := d.drv.newKernel(src.WGSL, src.Entry, shape.entries())
	if err != nil {
		if !errors.Is(err, ErrMemory) && !errors.Is(err, ErrLost) {
			err = fmt.Errorf("%w: %s: %w", ErrKernel, describe(src), err)
		}
		return nil, err
	}
	d.lastID++
	k := &Kernel{dev: d, id: d.lastID, label: src.Label, refs: refs, shape: *shape, pace: newPace(d.info.Type)}
	if k.label == "" {
		k.label = src.Entry
	}
	d.kernels[key] = k
	return k, nil
}

func describe(src KernelSource) string {
	if src.Label == "" {
		return fmt.Sprintf("kernel %q", src.Entry)
	}
	return fmt.Sprintf("kernel %q of %q", src.Entry, src.Label)
}
