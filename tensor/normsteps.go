package tensor

// Root-mean-square normalisation in steps, for when the divisor or the normalised
// values are wanted by themselves, or are to be changed: RMS, RowDivide, and
// [ColumnScale] with the weight. The formulas are those of [RMSNorm].
//
//	RMS          Out[n] = √(mean_d X[n,d]² + Eps)     DX[n,d] += DOut[n]·X[n,d]/(D·Out[n])
//	RowDivide    Out[n,d] = X[n,d]/S[n]               DX is the RowDivide of DOut
//	                                                  DS[n] = −Σ_d DOut[n,d]·X[n,d]/S[n]²

// RMS is the root of each row's mean square.
type RMS struct {
	Out *Tensor // [N]
	X   *Tensor // [N, D]
	Eps float32
}

// Name implements Op.
func (RMS) Name() string { return "normsteps.rms" }

// Operands implements Op.
func (o RMS) Operands() []Operand { return []Operand{out("Out", o.Out), in("X", o.X)} }

// Check implements Op.
func (o RMS) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, n))
}

// Flops implements Op.
func (o RMS) Flops() float64 { return 2 * float64(o.X.Len()) }

// RMSBackward adds the gradient of the input to DX. It computes the root again.
type RMSBackward struct {
	DX   *Tensor // [N, D]
	DOut *Tensor // [N]
	X    *Tensor // [N, D]
	Eps  float32
}

// Name implements Op.
func (RMSBackward) Name() string { return "normsteps.rms.backward" }

// Operands implements Op.
func (o RMSBackward) Operands() []Operand {
	return []Operand{update("DX", o.DX), in("DOut", o.DOut), in("X", o.X)}
}

// Check implements Op.
func (o RMSBackward) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("DX", o.DX, F32, n, d), want("DOut", o.DOut, F32, n))
}

// Flops implements Op.
func (o RMSBackward) Flops() float64 { return 4 * float64(o.X.Len()) }

// RowDivide is Out = X/S in each column, or with Add, Out += that.
type RowDivide struct {
	Out *Tensor // [N, D]
	X   *Tensor // [N, D]
	S   *Tensor // [N]
	Add bool
}

// Name implements Op.
func (RowDivide) Name() string { return "normsteps.divide" }

// Operands implements Op.
func (o RowDivide) Operands() []Operand {
	return []Operand{outOrAdd("Out", o.Out, o.Add), in("X", o.X), in("S", o.S)}
}

// Check implements Op.
func (o RowDivide) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, n, d), want("S", o.S, F32, n))
}

// Flops implements Op.
func (o RowDivide) Flops() float64 { return 2 * float64(o.X.Len()) }

// RowDivideDS is the gradient of the divisor.
type RowDivideDS struct {
	DS   *Tensor // [N]
	DOut *Tensor // [N, D]
	X    *Tensor // [N, D]
	S    *Tensor // [N]
}

// Name implements Op.
func (RowDivideDS) Name() string { return "normsteps.divide.ds" }

// Operands implements Op.
func (o RowDivideDS) Operands() []Operand {
	return []Operand{out("DS", o.DS), in("DOut", o.DOut), in("X", o.X), in("S", o.S)}
}

// Check implements Op.
func (o RowDivideDS) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("DOut", o.DOut, F32, n, d), want("DS", o.DS, F32, n), want("S", o.S, F32, n))
}

// Flops implements Op.
func (o RowDivideDS) Flops() float64 { return 2 * float64(o.X.Len()) }
