package gpu

import "github.com/gpupeft/gpupeft/tensor"

// dropoutParams are Params of shaders/dropout.wgsl.
type dropoutParams struct {
	N, First          uint32
	SeedLow, SeedHigh uint32
	Threshold         uint32
	Keep              float32
	Accumulate        uint32
}

func (r *recorder) dropout(o tensor.Dropout) error {
	n := o.X.Len()
	for lo, hi := range r.parts(n, n, 4) {
		err := r.add(task{
			program:  file{names: "dropout", entry: "forward", consts: elementwiseConsts{elementwiseThreads}},
			operands: []operand{part(o.Out, lo, hi-lo), part(o.X, lo, hi-lo)},
			params: dropoutParams{
				N: uint32(hi - lo), First: uint32(lo), SeedLow: uint32(o.Seed), SeedHigh: uint32(o.Seed >> 32),
				Threshold: o.Threshold(), Keep: 1 / (1 - o.P), Accumulate: flag(o.Add),
			},
			groups: r.fold(ceilDiv(hi-lo, elementwiseThreads)),
			cost:   workOf(o.Flops(), lo, hi, n),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
