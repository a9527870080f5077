package gpu

import "github.com/gpupeft/gpupeft/tensor"

// copyParams are Params of shaders/copy.wgsl. Strides and firsts count elements.
type copyParams struct {
	Count               uint32 // elements of one sequence
	Total               uint32 // elements of all sequences
	DstStride, DstFirst uint32
	SrcStride, SrcFirst uint32
	Sequences           uint32 // that one invocation adds up
}

type copyConsts struct {
	Elem    alias
	Threads uint32
	Add     bool
}

func (r *recorder) copyRows(o tensor.Copy) error {
	kind, width := elem(o.Dst.Cols())
	cols := uint32(o.Dst.Cols() / width)
	together := 1
	if o.Add && o.DstStride == 0 {
		together = o.Batch
	}
	total := o.Batch / together * o.Rows * int(cols)
	return r.add(task{
		program:  file{names: "copy", entry: "forward", consts: copyConsts{kind, elementwiseThreads, o.Add}},
		operands: []operand{whole(o.Dst), whole(o.Src)},
		params: copyParams{
			Count: uint32(o.Rows) * cols, Total: uint32(total),
			DstStride: uint32(o.DstStride) * cols, DstFirst: uint32(o.DstFirst) * cols,
			SrcStride: uint32(o.SrcStride) * cols, SrcFirst: uint32(o.SrcFirst) * cols,
			Sequences: uint32(together),
		},
		groups: r.fold(ceilDiv(total, elementwiseThreads)),
		cost:   o.Flops(),
		steps:  together,
	})
}
