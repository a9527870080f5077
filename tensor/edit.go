package tensor

// Edit changes values where they are:
//
//	X[i] = Factor[i]·X[i] + Shift[i]
//
// except that what is −∞, a score that attention has masked, stays so. Its backward is
// the Edit of the gradient by the same Factor, without Shift.
type Edit struct {
	X      *Tensor // changed in place
	Factor *Tensor // same number of values
	Shift  *Tensor // the same, optional
}

// Name implements Op.
func (Edit) Name() string { return "edit" }

// Operands implements Op.
func (o Edit) Operands() []Operand {
	return optional([]Operand{update("X", o.X), in("Factor", o.Factor)}, in("Shift", o.Shift))
}

// Check implements Op.
func (o Edit) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("Factor", o.Factor, F32, n, d), wantOptional("Shift", o.Shift, n, d))
}

// Flops implements Op.
func (o Edit) Flops() float64 { return 2 * float64(o.X.Len()) }
