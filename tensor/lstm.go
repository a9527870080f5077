package tensor

// One direction of one layer of a long short-term memory (Hochreiter and Schmidhuber
// 1997), as torch.nn.LSTM defines it. For t = 0, 1, … (or with Reverse, from the last
// one back), with the row before, p, and zeros before the first:
//
//	a = X[t] + W·H[p]           X = inputs·Wᵢₕᵀ + bᵢₕ + bₕₕ is made outside, gates in the order i, f, g, o
//	i, f, g, o = σ(aᵢ), σ(a_f), tanh(a_g), σ(a_o)
//	C[t] = f·C[p] + i·g
//	H[t] = o·tanh(C[t])
//
// and backward, with the row after, s, and zeros after the last:
//
//	dh = DH[t] + Wᵀ·DX[s]
//	dc = dh·o·(1 − tanh²C[t]) + DC[s]
//	DC[t] = f·dc
//	DX[t] = dc·g·i(1−i), dc·C[p]·f(1−f), dc·i·(1−g²), dh·tanh(C[t])·o(1−o)
//
// W's gradient is the MatMulDW of DX and of H moved on by a row.

// LSTM is the forward pass.
type LSTM struct {
	H, C    *Tensor // [T, h]
	Gates   *Tensor // [T, 4h]: i, f, g, o, for the backward pass
	X       *Tensor // [T, 4h]
	W       *Tensor // [4h, h]
	Reverse bool
}

// Name implements Op.
func (LSTM) Name() string { return "lstm" }

// Operands implements Op. A step reads what the one before wrote.
func (o LSTM) Operands() []Operand {
	return []Operand{out("H", o.H), out("C", o.C), out("Gates", o.Gates), in("X", o.X), in("W", o.W)}
}

// Check implements Op.
func (o LSTM) Check() error {
	t, h := lead(o.H)
	return first(want("H", o.H, F32, t, h), want("C", o.C, F32, t, h), want("Gates", o.Gates, F32, t, 4*h),
		want("X", o.X, F32, t, 4*h), want("W", o.W, F32, 4*h, h))
}

// Flops implements Op.
func (o LSTM) Flops() float64 { return 2 * float64(o.H.Rows()) * float64(o.W.Len()) }

// LSTMBackward is the gradient of X.
type LSTMBackward struct {
	DX      *Tensor // [T, 4h]
	DC      *Tensor // [T, h], what is handed to the row before
	DH      *Tensor // [T, h]
	C       *Tensor // [T, h], of the forward pass
	Gates   *Tensor // [T, 4h], of the forward pass
	W       *Tensor // [4h, h]
	Reverse bool
}

// Name implements Op.
func (LSTMBackward) Name() string { return "lstm.backward" }

// Operands implements Op.
func (o LSTMBackward) Operands() []Operand {
	return []Operand{out("DX", o.DX), out("DC", o.DC), in("DH", o.DH), in("C", o.C), in("Gates", o.Gates), in("W", o.W)}
}

// Check implements Op.
func (o LSTMBackward) Check() error {
	t, h := lead(o.DH)
	return first(want("DH", o.DH, F32, t, h), want("DC", o.DC, F32, t, h), want("DX", o.DX, F32, t, 4*h),
		want("C", o.C, F32, t, h), want("Gates", o.Gates, F32, t, 4*h), want("W", o.W, F32, 4*h, h))
}

// Flops implements Op.
func (o LSTMBackward) Flops() float64 { return 2 * float64(o.DH.Rows()) * float64(o.W.Len()) }
