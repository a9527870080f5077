package tensor

// Softmax over rows. A row of nothing but −∞ (a query that may see no key)
// gives zeros.
//
//	forward   Out[n,d] = exp(X[n,d] − max_e X[n,e]) / Σ_e exp(X[n,e] − max)
//	backward  DX[n,d]  = Out[n,d] · (DOut[n,d] − Σ_e DOut[n,e]·Out[n,e])

// Softmax is the forward pass.
type Softmax struct {
	Out, X *Tensor // [N, D]
}

// Name implements Op.
func (Softmax) Name() string { return "softmax" }

// Operands implements Op.
func (o Softmax) Operands() []Operand { return []Operand{out("Out", o.Out), in("X", o.X)} }

// Check implements Op.
func (o Softmax) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, n, d))
}

// Flops implements Op.
func (o Softmax) Flops() float64 { return 10 * float64(o.X.Len()) }

// SoftmaxBackward is the gradient of the input.
type SoftmaxBackward struct {
	DX, DOut, Out *Tensor // [N, D]; Out is the forward's result
}

// Name implements Op.
func (SoftmaxBackward) Name() string { return "softmax.backward" }

// Operands implements Op.
func (o SoftmaxBackward) Operands() []Operand {
	return []Operand{out("DX", o.DX), in("DOut", o.DOut), in("Out", o.Out)}
}

// Check implements Op.
func (o SoftmaxBackward) Check() error {
	n, d := lead(o.Out)
	return first(want("Out", o.Out, F32, n, d), want("DOut", o.DOut, F32, n, d), want("DX", o.DX, F32, n, d))
}

// Flops implements Op.
func (o SoftmaxBackward) Flops() float64 { return 4 * float64(o.Out.Len()) }
