package tensor

import "fmt"

// Copy moves rows between tensors that hold several sequences: into and out of
// a KV cache, or in front of each sequence. For every b < Batch, t < Rows:
//
//	Dst[b·DstStride + DstFirst + t] = Src[b·SrcStride + SrcFirst + t]
//
// or with Add, += that. A SrcStride of 0 gives every sequence the same rows; with a
// DstStride of 0 and Add, Dst gets their sum. The backward of a Copy is the Copy with
// Dst and Src exchanged.
type Copy struct {
	Dst, Src            *Tensor // [*, D] F32
	Batch, Rows         int
	DstStride, DstFirst int // in rows
	SrcStride, SrcFirst int // in rows
	Add                 bool
}

// Name implements Op.
func (Copy) Name() string { return "copy" }

// Operands implements Op. Dst keeps the rows that aren't copied to.
func (o Copy) Operands() []Operand {
	return []Operand{update("Dst", o.Dst), in("Src", o.Src)}
}

// Check implements Op.
func (o Copy) Check() error {
	dst, d := lead(o.Dst)
	src, _ := lead(o.Src)
	if err := first(want("Dst", o.Dst, F32, dst, d), want("Src", o.Src, F32, src, d)); err != nil {
		return err
	}
	inside := func(rows, stride, first int) bool {
		return stride >= 0 && first >= 0 && (o.Batch-1)*stride+first+o.Rows <= rows
	}
	if o.Batch < 1 || o.Rows < 1 || !inside(dst, o.DstStride, o.DstFirst) || !inside(src, o.SrcStride, o.SrcFirst) ||
		(o.Batch > 1 && o.DstStride < o.Rows && !(o.Add && o.DstStride == 0)) {
		return fmt.Errorf("rows %d×%d, dst %d+%d of %v, src %d+%d of %v: %w", o.Batch, o.Rows,
			o.DstStride, o.DstFirst, o.Dst, o.SrcStride, o.SrcFirst, o.Src, ErrShape)
	}
	return nil
}

// Flops implements Op.
func (o Copy) Flops() float64 { return float64(o.Batch * o.Rows * o.Dst.Cols()) }
