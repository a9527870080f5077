package gpu

import "github.com/gpupeft/gpupeft/tensor"

// adamw8Params are Params of shaders/adamw8.wgsl.
type adamw8Params struct {
	N, Blocks    uint32
	Decay        float32
	Beta1, Beta2 float32
	Step         float32
	Root         float32
	Eps          float32
	Rest1, Rest2 float32
}

// blockLanes are the lanes of a block, four values each.
const blockLanes = tensor.MomentBlock / 4

// momentSpan is a number of blocks whose scales take a multiple of OffsetAlignment.
const momentSpan = OffsetAlignment / 4

func (r *recorder) adamw8(o tensor.AdamW8) error {
	a := adamwParamsOf(tensor.AdamW{LR: o.LR, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, WeightDecay: o.WeightDecay, Step: o.Step})
	n, blocks := o.Param.Len(), o.MMax.Len()
	per := max(1, int(r.bindingSize())/(4*tensor.MomentBlock)/momentSpan) * momentSpan
	for lo := 0; lo < blocks; lo += per {
		some := min(per, blocks-lo)
		first := lo * tensor.MomentBlock
		values := min(some*tensor.MomentBlock, n-first)
		words := func(t *tensor.Tensor) operand { return part(t, lo*blockLanes, some*blockLanes) }
		err := r.add(task{
			program: file{names: "reduce+adamw8", entry: "forward", consts: elementwiseConsts{blockLanes}},
			operands: []operand{
				part(o.Param, first, values), words(o.M), words(o.V), part(o.MMax, lo, some), part(o.VMax, lo, some),
				part(o.Grad, first, values), whole(o.Clip), whole(o.Maps),
			},
			params: adamw8Params{uint32(values), uint32(some), a.Decay, a.Beta1, a.Beta2, a.Step, a.Root, a.Eps, a.Rest1, a.Rest2},
			groups: r.fold(some),
			cost:   workOf(o.Flops(), lo, lo+some, blocks),
			steps:  2*4*8 + 2*reduceSteps + 4*4,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
