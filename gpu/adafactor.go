package gpu

import "github.com/gpupeft/gpupeft/tensor"

// adafactorStrip is STRIP of shaders/adafactor.wgsl.
const adafactorStrip = 8

// adafactorParams are Params of shaders/adafactor.wgsl.
type adafactorParams struct {
	Matrices, Rows, Cols uint32
	Fresh, Eps           float32
	LR                   float32
	Decay                float32 // LR·WeightDecay
}

// adafactor needs all of a matrix at once: one beyond a binding is an error.
func (r *recorder) adafactor(o tensor.Adafactor) error {
	all, cols := o.Param.Rows(), o.Param.Cols()
	matrices := max(1, o.Matrices)
	rows, lanes := all/matrices, int(r.tune.rowThreads)
	scratch, err := r.partial(matrices + all + 1)
	if err != nil {
		return err
	}
	param, row, col, grad, clip := whole(o.Param), whole(o.Row), whole(o.Col), whole(o.Grad), whole(o.Clip)
	params := adafactorParams{
		uint32(matrices), uint32(rows), uint32(cols), float32(o.Fresh()), o.Eps(),
		o.LR, float32(float64(o.LR) * float64(o.WeightDecay)),
	}
	for _, t := range []struct {
		entry    string
		operands []operand
		groups   int
		steps    int
	}{
		{"squares_of_rows", []operand{row, grad, clip}, all, ceilDiv(cols, lanes)},
		{"squares_of_cols", []operand{col, grad, clip}, matrices * ceilDiv(cols, adafactorStrip), ceilDiv(rows, lanes/adafactorStrip) + lanes/adafactorStrip},
		{"means", []operand{row, scratch}, matrices, ceilDiv(rows, lanes)},
		{"shares", []operand{row, col, scratch, grad, clip}, all, ceilDiv(cols, lanes)},
		{"total", []operand{scratch}, 1, ceilDiv(all, lanes)},
		{"step", []operand{param, row, col, scratch, grad, clip}, ceilDiv(all*cols, lanes), 0},
	} {
		err := r.add(task{
			program:  file{names: "reduce+adafactor", entry: t.entry, consts: normConsts{r.tune.rowThreads}},
			operands: t.operands,
			params:   params,
			groups:   r.fold(t.groups),
			cost:     o.Flops() / 4, // of those that see all of it; the others are quick
			steps:    t.steps + reduceSteps,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
