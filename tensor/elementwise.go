package tensor

import "fmt"

// Operations on each value by itself.
//
//	Add      Out = A + B
//	Scale    Out = f·X
//	Fill     Out = v
//	DivRoot  Out = X/√S;         DX is the DivRoot of DOut, S being held constant
//	SoftCap  Out = c·tanh(X/c);  DX = DOut·(1 − (Out/c)²)

// Add is Out = A + B. Its backward is the gradient itself, for both.
type Add struct {
	Out, A, B *Tensor // same number of values
}

// Name implements Op.
func (Add) Name() string { return "add" }

// Operands implements Op.
func (o Add) Operands() []Operand {
	return []Operand{out("Out", o.Out), in("A", o.A), in("B", o.B)}
}

// Check implements Op.
func (o Add) Check() error {
	n, d := lead(o.Out)
	return first(want("Out", o.Out, F32, n, d), want("A", o.A, F32, n, d), want("B", o.B, F32, n, d))
}

// Flops implements Op.
func (o Add) Flops() float64 { return float64(o.Out.Len()) }

// Scale is Out = Factor·X, or with Add, Out += Factor·X. Its backward is a Scale
// by the same factor.
type Scale struct {
	Out, X *Tensor // same number of values
	Factor float32 // 0 means 0 here
	Add    bool
}

// Name implements Op.
func (Scale) Name() string { return "scale" }

// Operands implements Op.
func (o Scale) Operands() []Operand {
	return []Operand{outOrAdd("Out", o.Out, o.Add), in("X", o.X)}
}

// Check implements Op.
func (o Scale) Check() error {
	n, d := lead(o.Out)
	return first(want("Out", o.Out, F32, n, d), want("X", o.X, F32, n, d))
}

// Flops implements Op.
func (o Scale) Flops() float64 { return 2 * float64(o.Out.Len()) }

// Fill sets every value of Out.
type Fill struct {
	Out   *Tensor // F32
	Value float32
}

// Name implements Op.
func (Fill) Name() string { return "fill" }

// Operands implements Op.
func (o Fill) Operands() []Operand { return []Operand{out("Out", o.Out)} }

// Check implements Op.
func (o Fill) Check() error {
	n, d := lead(o.Out)
	return want("Out", o.Out, F32, n, d)
}

// Flops implements Op.
func (o Fill) Flops() float64 { return float64(o.Out.Len()) }

// DivRoot is Out = X/√S, or with Add, Out += X/√S.
type DivRoot struct {
	Out, X, S *Tensor // same number of values; S must be positive
	Add       bool
}

// Name implements Op.
func (DivRoot) Name() string { return "divroot" }

// Operands implements Op.
func (o DivRoot) Operands() []Operand {
	return []Operand{outOrAdd("Out", o.Out, o.Add), in("X", o.X), in("S", o.S)}
}

// Check implements Op.
func (o DivRoot) Check() error {
	n, d := lead(o.Out)
	return first(want("Out", o.Out, F32, n, d), want("X", o.X, F32, n, d), want("S", o.S, F32, n, d))
}

// Flops implements Op.
func (o DivRoot) Flops() float64 { return 3 * float64(o.Out.Len()) }

// SoftCap is Gemma 2's squashing of logits into (−Cap, Cap).
type SoftCap struct {
	Out, X *Tensor // same number of values
	Cap    float32 // > 0
}

// Name implements Op.
func (SoftCap) Name() string { return "softcap" }

// Operands implements Op.
func (o SoftCap) Operands() []Operand { return []Operand{out("Out", o.Out), in("X", o.X)} }

// Check implements Op.
func (o SoftCap) Check() error {
	n, d := lead(o.Out)
	return first(positive("Cap", o.Cap), want("Out", o.Out, F32, n, d), want("X", o.X, F32, n, d))
}

// Flops implements Op.
func (o SoftCap) Flops() float64 { return 8 * float64(o.Out.Len()) }

// SoftCapBackward takes the gradient back through SoftCap.
type SoftCapBackward struct {
	DX, DOut, Out *Tensor // same number of values; Out is the forward's result
	Cap           float32
}

// Name implements Op.
func (SoftCapBackward) Name() string { return "softcap.backward" }

// Operands implements Op.
func (o SoftCapBackward) Operands() []Operand {
	return []Operand{out("DX", o.DX), in("DOut", o.DOut), in("Out", o.Out)}
}

// Check implements Op.
func (o SoftCapBackward) Check() error {
	n, d := lead(o.Out)
	return first(positive("Cap", o.Cap), want("Out", o.Out, F32, n, d), want("DOut", o.DOut, F32, n, d), want("DX", o.DX, F32, n, d))
}

// Flops implements Op.
func (o SoftCapBackward) Flops() float64 { return 4 * float64(o.Out.Len()) }

func positive(field string, v float32) error {
	if !(v > 0) {
		return fmt.Errorf("%s is %v, must be above 0: %w", field, v, ErrShape)
	}
	return nil
}
