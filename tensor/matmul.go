package tensor

// The product with a weight matrix stored as HF and PyTorch do, [out, in]:
//
//	forward   Out[n,o] = s · Σ_i X[n,i] · W[o,i]            x·Wᵀ
//	backward  DX[n,i]  = s · Σ_o DOut[n,o] · W[o,i]         dOut·W
//	          DW[o,i]  = s · Σ_n DOut[n,o] · X[n,i]         dOutᵀ·x
//
// n counts tokens. W may be stored in any float type; DW is for trainable
// matrices, which are always F32.

// MatMul is Out = Scale·X·Wᵀ, or with Add, Out += Scale·X·Wᵀ.
type MatMul struct {
	Out   *Tensor // [N, O]
	X     *Tensor // [N, I]
	W     *Tensor // [O, I], any float type
	Scale float32 // 0 means 1
	Add   bool
}

// Name implements Op.
func (MatMul) Name() string { return "matmul" }

// Operands implements Op.
func (o MatMul) Operands() []Operand {
	return []Operand{outOrAdd("Out", o.Out, o.Add), in("X", o.X), in("W", o.W)}
}

// Check implements Op.
func (o MatMul) Check() error {
	rows, in := lead(o.X)
	outs, _ := lead(o.W)
	return first(wantWeight("W", o.W, outs, in), want("X", o.X, F32, rows, in), want("Out", o.Out, F32, rows, outs))
}

// Flops implements Op.
func (o MatMul) Flops() float64 { return 2 * float64(o.X.Len()) * float64(o.W.Rows()) }

// MatMulDX is DX = Scale·DOut·W, or with Add, DX += Scale·DOut·W.
type MatMulDX struct {
	DX    *Tensor // [N, I]
	DOut  *Tensor // [N, O]
	W     *Tensor // [O, I], any float type
	Scale float32 // 0 means 1
	Add   bool
}

// Name implements Op.
func (MatMulDX) Name() string { return "matmul.dx" }

// Operands implements Op.
func (o MatMulDX) Operands() []Operand {
	return []Operand{outOrAdd("DX", o.DX, o.Add), in("DOut", o.DOut), in("W", o.W)}
}

// Check implements Op.
func (o MatMulDX) Check() error {
	rows, outs := lead(o.DOut)
	_, in := lead(o.W)
	return first(wantWeight("W", o.W, outs, in), want("DOut", o.DOut, F32, rows, outs), want("DX", o.DX, F32, rows, in))
}

// Flops implements Op.
func (o MatMulDX) Flops() float64 { return 2 * float64(o.DX.Len()) * float64(o.W.Rows()) }

// MatMulDW is DW = Scale·DOutᵀ·X, or with Add, DW += Scale·DOutᵀ·X.
type MatMulDW struct {
	DW    *Tensor // [O, I]
	DOut  *Tensor // [N, O]
	X     *Tensor // [N, I]
	Scale float32 // 0 means 1
	Add   bool
}

// Name implements Op.
func (MatMulDW) Name() string { return "matmul.dw" }

// Operands implements Op.
func (o MatMulDW) Operands() []Operand {
	return []Operand{outOrAdd("DW", o.DW, o.Add), in("DOut", o.DOut), in("X", o.X)}
}

// Check implements Op.
func (o MatMulDW) Check() error {
	rows, outs := lead(o.DOut)
	_, in := lead(o.X)
	return first(want("DOut", o.DOut, F32, rows, outs), want("X", o.X, F32, rows, in), want("DW", o.DW, F32, outs, in))
}

// Flops implements Op.
func (o MatMulDW) Flops() float64 { return 2 * float64(o.X.Len()) * float64(o.DOut.Cols()) }
