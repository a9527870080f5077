package gpu

import "github.com/gpupeft/gpupeft/tensor"

// lionParams are Params of shaders/lion.wgsl.
type lionParams struct {
	N            uint32
	Decay        float32 // LR·WeightDecay
	LR           float32
	Beta1, Beta2 float32
	Rest1, Rest2 float32 // 1−β1, 1−β2
}

func (r *recorder) lion(o tensor.Lion) error {
	p := lionParams{
		Decay: float32(float64(o.LR) * float64(o.WeightDecay)), LR: o.LR,
		Beta1: o.Beta1, Beta2: o.Beta2,
		Rest1: float32(1 - float64(o.Beta1)), Rest2: float32(1 - float64(o.Beta2)),
	}
	n := o.Param.Len()
	for lo, hi := range r.parts(n, n, 4) {
		p.N = uint32(hi - lo)
		err := r.add(task{
			program:  file{names: "lion", entry: "forward", consts: elementwiseConsts{elementwiseThreads}},
			operands: []operand{part(o.Param, lo, hi-lo), part(o.M, lo, hi-lo), part(o.Grad, lo, hi-lo), whole(o.Clip)},
			params:   p,
			groups:   r.fold(ceilDiv(hi-lo, 4*elementwiseThreads)),
			cost:     workOf(o.Flops(), lo, hi, n),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
