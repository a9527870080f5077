package tensor

import "fmt"

// Op is one operation on tensors. The operations are the exported structs of
// this package; a backend switches over their types.
type Op interface {
	// Name is the operation's short name: "matmul", "rmsnorm.dx", …
	Name() string
	// Operands lists the tensors in the order of the struct's fields; absent
	// optional ones are left out.
	Operands() []Operand
	// Check verifies shapes, types and scalar arguments. The error wraps
	// ErrShape or ErrType and names the operand.
	Check() error
	// Flops estimates the floating-point operations, for time budgets and
	// throughput reports.
	Flops() float64
}

// Access says what an operation does with an operand.
type Access uint8

// The kinds of access. A Write operand's old values are never read, so they may
// be NaN; an Update operand is read and written.
const (
	Read Access = iota
	Write
	Update
)

// Operand is one tensor of an operation.
type Operand struct {
	Name   string // the field's name
	Tensor *Tensor
	Access Access
}

func in(name string, t *Tensor) Operand  { return Operand{name, t, Read} }
func out(name string, t *Tensor) Operand { return Operand{name, t, Write} }

// outOrAdd is for results that are either overwritten or added to.
func outOrAdd(name string, t *Tensor, add bool) Operand {
	if add {
		return Operand{name, t, Update}
	}
	return Operand{name, t, Write}
}

func update(name string, t *Tensor) Operand { return Operand{name, t, Update} }

// optional drops an absent operand from a list.
func optional(ops []Operand, o Operand) []Operand {
	if o.Tensor == nil {
		return ops
	}
	return append(ops, o)
}

// want checks that t is there, has the type and the number of values given.
func want(field string, t *Tensor, dt DType, shape ...int) error {
	switch {
	case !t.made():
		return fmt.Errorf("%s is missing: %w", field, ErrShape)
	case t.DType != dt:
		return fmt.Errorf("%s (%v) must be %v: %w", field, t, dt, ErrType)
	case t.Len() != product(shape):
		return fmt.Errorf("%s (%v) must be %v: %w", field, t, shape, ErrShape)
	}
	return nil
}

// wantOptional is want for an F32 operand that may be absent.
func wantOptional(field string, t *Tensor, shape ...int) error {
	if t == nil {
		return nil
	}
	return want(field, t, F32, shape...)
}

// wantWeight is want for matrices that may be stored in any float type.
func wantWeight(field string, t *Tensor, rows, cols int) error {
	switch {
	case !t.made():
		return fmt.Errorf("%s is missing: %w", field, ErrShape)
	case t.DType == I32:
		return fmt.Errorf("%s (%v) must hold floats: %w", field, t, ErrType)
	case t.Rows() != rows || t.Cols() != cols:
		return fmt.Errorf("%s (%v) must be %v: %w", field, t, []int{rows, cols}, ErrShape)
	}
	return nil
}

// first returns the first error that isn't nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// factor reads a scale field whose zero value means one.
func factor(s float32) float32 {
	if s == 0 {
		return 1
	}
	return s
}

// lead returns the rows and columns of t, or zeros if there is none, so that
// Check can go on to name the missing operand.
func lead(t *Tensor) (rows, cols int) {
	if !t.made() {
		return 0, 0
	}
	return t.Rows(), t.Cols()
}

// made says whether a backend made t; a Tensor made by hand has no memory.
func (t *Tensor) made() bool { return t != nil && t.storage != nil && len(t.Shape) > 0 }
