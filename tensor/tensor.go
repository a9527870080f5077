package tensor

import (
	"fmt"
	"math"
	"slices"
)

// Storage is a piece of a backend's memory. Each backend has its own.
type Storage interface {
	// Alive reports whether the memory is still there.
	Alive() bool
	// Close gives the memory back. A second call does nothing.
	Close() error
}

// Tensor is a dense, row-major array in a backend's memory.
type Tensor struct {
	Name  string // for messages and memory reports, e.g. "model.layers.0.mlp.up_proj.weight"
	DType DType
	Shape []int // at least one dimension, each at least 1

	storage Storage
	offset  int  // in values from the start of the storage
	view    bool // the storage belongs to another tensor
}

// Wrap makes a tensor over a backend's storage. It is for backends; users call
// [Backend.New].
func Wrap(s Storage, name string, dt DType, shape ...int) *Tensor {
	return &Tensor{Name: name, DType: dt, Shape: slices.Clone(shape), storage: s}
}

// Storage returns the memory behind t, and where in it, counted in values, t
// begins. It is for backends.
func (t *Tensor) Storage() (Storage, int) { return t.storage, t.offset }

// Len returns the number of values.
func (t *Tensor) Len() int { return product(t.Shape) }

// Bytes returns the size of the stored values.
func (t *Tensor) Bytes() int64 { return t.DType.Bytes(t.Len()) }

// Rows returns the size of the first dimension.
func (t *Tensor) Rows() int { return t.Shape[0] }

// Cols returns the number of values in a row: the product of all dimensions but
// the first.
func (t *Tensor) Cols() int { return product(t.Shape[1:]) }

// Slice returns rows [lo, hi) of t as a tensor that shares its memory. A GPU
// binds a view only where its first byte lies on a 256-byte boundary.
func (t *Tensor) Slice(lo, hi int) (*Tensor, error) {
	if lo < 0 || hi > t.Rows() || lo >= hi {
		return nil, fmt.Errorf("rows [%d, %d) of %s %v: %w", lo, hi, t.Name, t.Shape, ErrShape)
	}
	if block := t.DType.Block(); lo*t.Cols()%block != 0 || hi*t.Cols()%block != 0 {
		return nil, fmt.Errorf("rows [%d, %d) of %v are no whole blocks of %d: %w", lo, hi, t, block, ErrShape)
	}
	v := *t
	v.Shape = slices.Clone(t.Shape)
	v.Shape[0] = hi - lo
	v.offset += lo * t.Cols()
	v.view = true
	return &v, nil
}

// Reshape returns t's values under another shape, sharing its memory.
func (t *Tensor) Reshape(shape ...int) (*Tensor, error) {
	if err := checkShape(t.DType, shape); err != nil {
		return nil, fmt.Errorf("%v reshaped: %w", t, err)
	}
	if product(shape) != t.Len() {
		return nil, fmt.Errorf("%s %v as %v: %w", t.Name, t.Shape, shape, ErrShape)
	}
	v := *t
	v.Shape = slices.Clone(shape)
	v.view = true
	return &v, nil
}

// Close gives the memory back to the backend. Views have none of their own:
// closing one does nothing.
func (t *Tensor) Close() error {
	if t == nil || t.view {
		return nil
	}
	return t.storage.Close()
}

// String describes t without its values: "wte f16[512 64]".
func (t *Tensor) String() string {
	if t == nil {
		return "<nil>"
	}
	return fmt.Sprintf("%s %v%v", t.Name, t.DType, t.Shape)
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// checkShape refuses empty and absurd shapes: element counts must fit in 40
// bits (fewer on small machines), so that byte counts never overflow. Rows must
// be made of whole blocks.
func checkShape(dt DType, shape []int) error {
	const limit = min(1<<40, math.MaxInt/4)
	n := 1
	for _, d := range shape {
		if d < 1 || d > limit || n > limit/d {
			return fmt.Errorf("shape %v: %w", shape, ErrShape)
		}
		n *= d
	}
	if len(shape) == 0 {
		return fmt.Errorf("empty shape: %w", ErrShape)
	}
	if row := shape[len(shape)-1]; row%dt.Block() != 0 {
		return fmt.Errorf("rows of %d are no whole blocks of %d %v: %w", row, dt.Block(), dt, ErrShape)
	}
	return nil
}
