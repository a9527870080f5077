package tensor

// The embedding lookup, with room for soft prompts: a negative id -1-p stands
// for row p of a second, trainable table, so that virtual tokens may lie
// anywhere in a sequence.
//
//	forward   Out[n] = Scale·Table[id]            id = IDs[n] ≥ 0
//	          Out[n] = ExtraScale·Extra[-1-id]    id < 0; 0 without an Extra
//	backward  DExtra[p] = ExtraScale · Σ_{n: IDs[n] = -1-p} DOut[n]
//	          DTable[v] = Scale · Σ_{n: IDs[n] = v} DOut[n]

// Embed looks rows up. Ids beyond a table are an error on the CPU and read the
// last row on a GPU, so check them before they are written.
type Embed struct {
	Out               *Tensor // [N, D]
	IDs               *Tensor // [N] I32
	Table             *Tensor // [V, D], any float type
	Extra             *Tensor // [P, D] F32, optional: the rows of negative ids
	Scale, ExtraScale float32 // 0 means 1
}

// Name implements Op.
func (Embed) Name() string { return "embed" }

// Operands implements Op.
func (o Embed) Operands() []Operand {
	return optional([]Operand{out("Out", o.Out), in("IDs", o.IDs), in("Table", o.Table)}, in("Extra", o.Extra))
}

// Check implements Op.
func (o Embed) Check() error {
	n, d := lead(o.Out)
	vocab, _ := lead(o.Table)
	err := first(want("Out", o.Out, F32, n, d), want("IDs", o.IDs, I32, n), wantWeight("Table", o.Table, vocab, d))
	if err == nil && o.Extra != nil {
		err = want("Extra", o.Extra, F32, o.Extra.Rows(), d)
	}
	return err
}

// Flops implements Op.
func (o Embed) Flops() float64 { return float64(o.Out.Len()) }

// EmbedBackward sums the gradient of the rows that were looked up in one of the
// two tables.
type EmbedBackward struct {
	DTable *Tensor // [V or P, D]
	DOut   *Tensor // [N, D]
	IDs    *Tensor // [N] I32
	Extra  bool    // DTable is the gradient of Extra, not of Table
	Scale  float32 // the table's own factor; 0 means 1
	Add    bool
}

// Name implements Op.
func (EmbedBackward) Name() string { return "embed.backward" }

// Operands implements Op.
func (o EmbedBackward) Operands() []Operand {
	return []Operand{outOrAdd("DTable", o.DTable, o.Add), in("DOut", o.DOut), in("IDs", o.IDs)}
}

// Check implements Op.
func (o EmbedBackward) Check() error {
	n, d := lead(o.DOut)
	rows, _ := lead(o.DTable)
	return first(want("DOut", o.DOut, F32, n, d), want("IDs", o.IDs, I32, n), want("DTable", o.DTable, F32, rows, d))
}

// Flops implements Op.
func (o EmbedBackward) Flops() float64 {
	return float64(o.DOut.Len()) + float64(o.DTable.Rows())*float64(o.IDs.Len())
}

// Gather copies rows: Out[m] = X[Rows[m]], and zeros where Rows[m] is negative.
// When no row is taken twice, its backward is the Gather with the inverse list.
type Gather struct {
	Out  *Tensor // [M, D]
	X    *Tensor // [N, D]
	Rows *Tensor // [M] I32
}

// Name implements Op.
func (Gather) Name() string { return "gather" }

// Operands implements Op.
func (o Gather) Operands() []Operand {
	return []Operand{out("Out", o.Out), in("X", o.X), in("Rows", o.Rows)}
}

// Check implements Op.
func (o Gather) Check() error {
	m, d := lead(o.Out)
	n, _ := lead(o.X)
	return first(want("Out", o.Out, F32, m, d), want("X", o.X, F32, n, d), want("Rows", o.Rows, I32, m))
}

// Flops implements Op.
func (o Gather) Flops() float64 { return float64(o.Out.Len()) }
