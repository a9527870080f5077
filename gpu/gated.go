package gpu

import "github.com/gpupeft/gpupeft/tensor"

type gatedConsts struct {
	Elem    alias
	Threads uint32
	Act     uint32
}

// gatedParams are Params of shaders/gated.wgsl.
type gatedParams struct{ N uint32 }

func (r *recorder) gated(o tensor.Gated) error {
	if o.Up == nil {
		return r.gatedRows("forward_alone", o.Act, o.Flops(), o.Out, o.Gate)
	}
	return r.gatedRows("forward", o.Act, o.Flops(), o.Out, o.Gate, o.Up)
}

func (r *recorder) gatedBackward(o tensor.GatedBackward) error {
	if o.Up == nil {
		return r.gatedRows("backward_alone", o.Act, o.Flops(), o.DGate, o.DOut, o.Gate)
	}
	return r.gatedRows("backward", o.Act, o.Flops(), o.DGate, o.DUp, o.DOut, o.Gate, o.Up)
}

func (r *recorder) gatedRows(entry string, act tensor.Activation, flops float64, ts ...*tensor.Tensor) error {
	n, d := ts[0].Rows(), ts[0].Cols()
	kind, width := elem(n * d)
	for lo, hi := range r.parts(n, n, rowBytes(ts[0])) {
		count := (hi - lo) * d / width
		l := task{
			program: file{names: "gated", entry: entry, consts: gatedConsts{kind, elementwiseThreads, uint32(act)}},
			params:  gatedParams{uint32(count)},
			groups:  r.fold(ceilDiv(count, elementwiseThreads)),
			cost:    workOf(flops, lo, hi, n),
		}
		for _, t := range ts {
			l.operands = append(l.operands, part(t, lo*d, (hi-lo)*d))
		}
		if err := r.add(l); err != nil {
			return err
		}
	}
	return nil
}
