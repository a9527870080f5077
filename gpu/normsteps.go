package gpu

import "github.com/gpupeft/gpupeft/tensor"

// normstepsParams are Params of shaders/normsteps.wgsl.
type normstepsParams struct {
	Rows, Cols uint32
	Mean       float32
	Eps        float32
	Accumulate uint32
}

func (r *recorder) rms(o tensor.RMS) error {
	return r.normSteps("rms", 1, normstepsParams{Eps: o.Eps}, o.Flops(), o.X, o.Out, o.X)
}

func (r *recorder) rmsBackward(o tensor.RMSBackward) error {
	return r.normSteps("rms_backward", 2, normstepsParams{Eps: o.Eps}, o.Flops(), o.X, o.DX, o.X, o.DOut)
}

func (r *recorder) rowDivide(o tensor.RowDivide) error {
	return r.normSteps("divide", 1, normstepsParams{Accumulate: flag(o.Add)}, o.Flops(), o.X, o.Out, o.X, o.S)
}

func (r *recorder) rowDivideDS(o tensor.RowDivideDS) error {
	return r.normSteps("divide_ds", 1, normstepsParams{}, o.Flops(), o.X, o.DS, o.X, o.DOut, o.S)
}

// normSteps runs an entry point over the rows of x. The operands have as many values
// as x, or one for each row.
func (r *recorder) normSteps(entry string, passes int, p normstepsParams, flops float64, x *tensor.Tensor, ts ...*tensor.Tensor) error {
	n, d := x.Rows(), x.Cols()
	for lo, hi := range r.parts(n, n, rowBytes(x), 4) {
		p.Rows, p.Cols, p.Mean = uint32(hi-lo), uint32(elems(d)), 1/float32(d)
		t := task{
			program: r.rowFile("normsteps", entry, d),
			params:  p,
			groups:  r.fold(hi - lo),
			cost:    workOf(flops, lo, hi, n),
			steps:   r.rowSteps(passes, d),
		}
		for _, x := range ts {
			per := x.Len() / n
			t.operands = append(t.operands, part(x, lo*per, (hi-lo)*per))
		}
		if err := r.add(t); err != nil {
			return err
		}
	}
	return nil
}
