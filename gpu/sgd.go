package gpu

import "github.com/gpupeft/gpupeft/tensor"

// sgdParams are Params of shaders/sgd.wgsl.
type sgdParams struct {
	N                   uint32
	LR, Momentum, Decay float32
}

func (r *recorder) sgd(o tensor.SGD) error {
	n := o.Param.Len()
	for lo, hi := range r.parts(n, n, 4) {
		err := r.add(task{
			program:  file{names: "sgd", entry: "forward", consts: elementwiseConsts{elementwiseThreads}},
			operands: []operand{part(o.Param, lo, hi-lo), part(o.M, lo, hi-lo), part(o.Grad, lo, hi-lo), whole(o.Clip)},
			params:   sgdParams{uint32(hi - lo), o.LR, o.Momentum, o.WeightDecay},
			groups:   r.fold(ceilDiv(hi-lo, 4*elementwiseThreads)),
			cost:     workOf(o.Flops(), lo, hi, n),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
