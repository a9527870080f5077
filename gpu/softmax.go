package gpu

import "github.com/gpupeft/gpupeft/tensor"

// softmaxParams are Params of shaders/softmax.wgsl.
type softmaxParams struct{ Rows, Cols uint32 }

func (r *recorder) softmax(o tensor.Softmax) error {
	return r.softmaxRows("forward", 3, o.Flops(), o.Out, o.X)
}

func (r *recorder) softmaxBackward(o tensor.SoftmaxBackward) error {
	return r.softmaxRows("backward", 2, o.Flops(), o.DX, o.DOut, o.Out)
}

func (r *recorder) softmaxRows(entry string, passes int, flops float64, ts ...*tensor.Tensor) error {
	n, d := ts[0].Rows(), ts[0].Cols()
	for lo, hi := range r.parts(n, n, rowBytes(ts[0])) {
		l := task{
			program: r.rowFile("softmax", entry, d),
			params:  softmaxParams{uint32(hi - lo), uint32(elems(d))},
			groups:  r.fold(hi - lo),
			cost:    workOf(flops, lo, hi, n),
			steps:   r.rowSteps(passes, d),
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
