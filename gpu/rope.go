package gpu

import "github.com/gpupeft/gpupeft/tensor"

// ropeParams are Params of shaders/rope.wgsl.
type ropeParams struct {
	Pairs      uint32
	Sign       float32
	Accumulate uint32
}

type ropeConsts struct {
	Elem                 alias
	Threads, Heads, Half uint32
}

func (r *recorder) rope(o tensor.RoPE) error {
	n, d, half := o.X.Rows(), o.X.Cols(), o.Table.Cols()/2
	kind, width := elem(half)
	sign := float32(1)
	if o.Inverse {
		sign = -1
	}
	for lo, hi := range r.parts(n, n, rowBytes(o.X), 4) {
		pairs := (hi - lo) * d / 2 / width
		err := r.add(task{
			program:  file{names: "rope", entry: "rotate", consts: ropeConsts{kind, elementwiseThreads, uint32(d / 2 / half), uint32(half / width)}},
			operands: []operand{rowsOf(o.Out, lo, hi), rowsOf(o.X, lo, hi), whole(o.Table), part(o.Pos, lo, hi-lo)},
			params:   ropeParams{Pairs: uint32(pairs), Sign: sign, Accumulate: flag(o.Add)},
			groups:   r.fold(ceilDiv(pairs, elementwiseThreads)),
			cost:     workOf(o.Flops(), lo, hi, n),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
