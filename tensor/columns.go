package tensor

// One factor for each column, as adapters have that rescale an activation, and sums
// over the rows:
//
//	ColumnScale  Out[n,d] = S[d]·X[n,d]        DX is the ColumnScale of DOut
//	ColumnSums   Out[d] = Σ_n A[n,d]·B[n,d]    DS[d] = Σ_n DOut[n,d]·X[n,d]
//
// Without B, 1 stands for it: the gradient of a bias.

// ColumnScale is Out = S·X in each row, or with Add, Out += that.
type ColumnScale struct {
	Out *Tensor // [N, D]
	X   *Tensor // [N, D]
	S   *Tensor // [D]
	Add bool
}

// Name implements Op.
func (ColumnScale) Name() string { return "columns.scale" }

// Operands implements Op.
func (o ColumnScale) Operands() []Operand {
	return []Operand{outOrAdd("Out", o.Out, o.Add), in("X", o.X), in("S", o.S)}
}

// Check implements Op.
func (o ColumnScale) Check() error {
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, n, d), want("S", o.S, F32, d))
}

// Flops implements Op.
func (o ColumnScale) Flops() float64 { return 2 * float64(o.X.Len()) }

// ColumnSums is Out = Σ A·B over the rows, or with Add, Out += that.
type ColumnSums struct {
	Out *Tensor // [D]
	A   *Tensor // [N, D]
	B   *Tensor // [N, D], optional
	Add bool
}

// Name implements Op.
func (ColumnSums) Name() string { return "columns.sums" }

// Operands implements Op.
func (o ColumnSums) Operands() []Operand {
	return optional([]Operand{outOrAdd("Out", o.Out, o.Add), in("A", o.A)}, in("B", o.B))
}

// Check implements Op.
func (o ColumnSums) Check() error {
	n, d := lead(o.A)
	return first(want("A", o.A, F32, n, d), wantOptional("B", o.B, n, d), want("Out", o.Out, F32, d))
}

// Flops implements Op.
func (o ColumnSums) Flops() float64 { return 2 * float64(o.A.Len()) }
