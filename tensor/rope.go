package tensor

import "fmt"

// Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in the half-split
// order of HF: dimension j is paired with j + h/2, h being the head size. The
// angles come as a table, because that is all in which the variants (linear,
// llama3, per-layer theta, …) differ. With c = Table[p, j], s = Table[p, j+h/2]
// for position p:
//
//	Out[j]     = X[j]·c − X[j+h/2]·s
//	Out[j+h/2] = X[j+h/2]·c + X[j]·s
//
// The backward pass is the rotation by the opposite angles: Inverse.

// RoPE rotates every head of every row.
type RoPE struct {
	Out     *Tensor // [N, H*h]
	X       *Tensor // [N, H*h]
	Table   *Tensor // [P, h]: cosines, then sines
	Pos     *Tensor // [N] I32, positions below P
	Inverse bool
	Add     bool // Out += instead of Out =
}

// Name implements Op.
func (RoPE) Name() string { return "rope" }

// Operands implements Op.
func (o RoPE) Operands() []Operand {
	return []Operand{outOrAdd("Out", o.Out, o.Add), in("X", o.X), in("Table", o.Table), in("Pos", o.Pos)}
}

// Check implements Op.
func (o RoPE) Check() error {
	n, d := lead(o.X)
	positions, h := lead(o.Table)
	if h%2 != 0 || h == 0 || d%h != 0 {
		return fmt.Errorf("operand X (%v) has no whole number of heads of Table's (%v) size: %w", o.X, o.Table, ErrShape)
	}
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, n, d), want("Table", o.Table, F32, positions, h), want("Pos", o.Pos, I32, n))
}

// Flops implements Op.
func (o RoPE) Flops() float64 { return 3 * float64(o.X.Len()) }
