package tensor

// Root-mean-square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467), in
// the two forms of the model families: Llama multiplies by the weight w, Gemma by
// 1+w. With g = Offset + w:
//
//	r[n]      = √(mean_d X[n,d]² + Eps)            the divisor, TransformerLens' hook_scale
//	Out[n,d]  = X[n,d] / r[n] · g[d]
//	DX[n,d]   = (DOut·g)[n,d]/r[n] − X[n,d]/(D·r[n]³) · Σ_e (DOut·g·X)[n,e]
//	DW[d]     = Σ_n DOut[n,d]·X[n,d]/r[n]

// RMSNorm is the forward pass.
type RMSNorm struct {
	Out    *Tensor // [N, D]
	RMS    *Tensor // [N]
	X      *Tensor // [N, D]
	W      *Tensor // [D] F32
	Eps    float32
	Offset float32 // 0, or 1 for Gemma
}

// Name implements Op.
func (RMSNorm) Name() string { return "rmsnorm" }

// Operands implements Op.
func (o RMSNorm) Operands() []Operand {
	return []Operand{out("Out", o.Out), out("RMS", o.RMS), in("X", o.X), in("W", o.W)}
}

// Check implements Op.
func (o RMSNorm) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, n, d), want("RMS", o.RMS, F32, n), want("W", o.W, F32, d))
}

// Flops implements Op.
func (o RMSNorm) Flops() float64 { return 4 * float64(o.X.Len()) }

// RMSNormDX is the gradient of the input; with Add it is added to DX.
type RMSNormDX struct {
	DX     *Tensor // [N, D]
	DOut   *Tensor // [N, D]
	X      *Tensor // [N, D]
	W      *Tensor // [D] F32
	RMS    *Tensor // [N], of the forward pass
	Offset float32
	Add    bool
}

// Name implements Op.
func (RMSNormDX) Name() string { return "rmsnorm.dx" }

// Operands implements Op.
func (o RMSNormDX) Operands() []Operand {
	return []Operand{outOrAdd("DX", o.DX, o.Add), in("DOut", o.DOut), in("X", o.X), in("W", o.W), in("RMS", o.RMS)}
}

// Check implements Op.
func (o RMSNormDX) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("DOut", o.DOut, F32, n, d), want("DX", o.DX, F32, n, d),
		want("RMS", o.RMS, F32, n), want("W", o.W, F32, d))
}

// Flops implements Op.
func (o RMSNormDX) Flops() float64 { return 8 * float64(o.X.Len()) }

// RMSNormDW is the gradient of a trainable norm weight.
type RMSNormDW struct {
	DW   *Tensor // [D]
	DOut *Tensor // [N, D]
	X    *Tensor // [N, D]
	RMS  *Tensor // [N], of the forward pass
	Add  bool
}

// Name implements Op.
func (RMSNormDW) Name() string { return "rmsnorm.dw" }

// Operands implements Op.
func (o RMSNormDW) Operands() []Operand {
	return []Operand{outOrAdd("DW", o.DW, o.Add), in("DOut", o.DOut), in("X", o.X), in("RMS", o.RMS)}
}

// Check implements Op.
func (o RMSNormDW) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("DOut", o.DOut, F32, n, d), want("RMS", o.RMS, F32, n), want("DW", o.DW, F32, d))
}

// Flops implements Op.
func (o RMSNormDW) Flops() float64 { return 3 * float64(o.X.Len()) }
