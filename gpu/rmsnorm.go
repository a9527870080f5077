package gpu

import (
	"github.com/gpupeft/gpupeft/tensor"
)

// rmsnormParams are Params of shaders/rmsnorm.wgsl.
type rmsnormParams struct {
	Rows, Cols uint32
	Mean       float32
	Eps        float32
	Offset     float32
	Accumulate uint32
}

func (r *recorder) rmsnorm(o tensor.RMSNorm) error {
	n, d := o.X.Rows(), o.X.Cols()
	for lo, hi := range r.parts(n, n, rowBytes(o.X), rowBytes(o.RMS)) {
		l := r.rowTask("rmsnorm", "forward", 2, hi-lo, d)
		l.operands = []operand{rowsOf(o.Out, lo, hi), part(o.RMS, lo, hi-lo), rowsOf(o.X, lo, hi), whole(o.W)}
		l.params = rmsnormParams{
			Rows: uint32(hi - lo), Cols: uint32(elems(d)),
			Mean: 1 / float32(d), Eps: o.Eps, Offset: o.Offset,
		}
		l.cost = workOf(o.Flops(), lo, hi, n)
		if err := r.add(l); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) rmsnormDX(o tensor.RMSNormDX) error {
	n, d := o.X.Rows(), o.X.Cols()
	for lo, hi := range r.parts(n, n, rowBytes(o.X), rowBytes(o.RMS)) {
		l := r.rowTask("rmsnorm", "backward", 2, hi-lo, d)
		l.operands = []operand{
			rowsOf(o.DX, lo, hi), rowsOf(o.DOut, lo, hi), rowsOf(o.X, lo, hi), whole(o.W),
			part(o.RMS, lo, hi-lo),
		}
		l.params = rmsnormParams{
			Rows: uint32(hi - lo), Cols: uint32(elems(d)),
			Mean: 1 / float32(d), Offset: o.Offset, Accumulate: flag(o.Add),
		}
		l.cost = workOf(o.Flops(), lo, hi, n)
		if err := r.add(l); err != nil {
			return err
		}
	}
	return nil
}

// normStrip is STRIP of shaders/rmsnorm_dw.wgsl.
const normStrip = 8

type rmsnormDWConsts struct {
	Elem   alias
	Height uint32
}

// rmsnormDWParams are Params of shaders/rmsnorm_dw.wgsl.
type rmsnormDWParams struct {
	Rows, Cols uint32
	Accumulate uint32
}

func (r *recorder) rmsnormDW(o tensor.RMSNormDW) error {
	n, d := o.X.Rows(), o.X.Cols()
	kind, _ := elem(d)
	height := int(r.tune.rowThreads) / normStrip
	most := min(n, height*(MaxLoopSteps-height)/2)
	for lo, hi := range r.parts(n, most, rowBytes(o.X), rowBytes(o.RMS)) {
		err := r.add(task{
			program:  file{names: "rmsnorm_dw", entry: "backward", consts: rmsnormDWConsts{kind, uint32(height)}},
			operands: []operand{whole(o.DW), rowsOf(o.DOut, lo, hi), rowsOf(o.X, lo, hi), part(o.RMS, lo, hi-lo)},
			params:   rmsnormDWParams{uint32(hi - lo), uint32(elems(d)), flag(o.Add || lo > 0)},
			groups:   r.fold(ceilDiv(elems(d), normStrip)),
			cost:     workOf(o.Flops(), lo, hi, n),
			steps:    ceilDiv(hi-lo, height) + height,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
