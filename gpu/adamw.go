package gpu

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// adamwParams are Params of shaders/adamw.wgsl.
type adamwParams struct {
	N            uint32
	Decay        float32 // LR·WeightDecay
	Beta1, Beta2 float32
	Step         float32 // LR/(1−β1ᵗ)
	Root         float32 // √(1−β2ᵗ)
	Eps          float32
	Rest1, Rest2 float32 // 1−β1, 1−β2
}

func adamwParamsOf(o tensor.AdamW) adamwParams {
	bias := func(beta float32) float64 { return 1 - math.Pow(float64(beta), float64(o.Step)) }
	return adamwParams{
		Decay: float32(float64(o.LR) * float64(o.WeightDecay)),
		Beta1: o.Beta1, Beta2: o.Beta2,
		Rest1: float32(1 - float64(o.Beta1)), Rest2: float32(1 - float64(o.Beta2)),
		Step: float32(float64(o.LR) / bias(o.Beta1)),
		Root: float32(math.Sqrt(bias(o.Beta2))),
		Eps:  o.Eps,
	}
}

func (r *recorder) adamw(o tensor.AdamW) error {
	p := adamwParamsOf(o)
	n := o.Param.Len()
	for lo, hi := range r.parts(n, n, 4) {
		p.N = uint32(hi - lo)
		err := r.add(task{
			program: file{names: "adamw", entry: "forward", consts: elementwiseConsts{elementwiseThreads}},
			operands: []operand{
				part(o.Param, lo, hi-lo), part(o.M, lo, hi-lo), part(o.V, lo, hi-lo),
				part(o.Grad, lo, hi-lo), whole(o.Clip),
			},
			params: p,
			groups: r.fold(ceilDiv(hi-lo, 4*elementwiseThreads)),
			cost:   o.Flops() * float64(hi-lo) / float64(n),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
