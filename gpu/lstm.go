package gpu

import "github.com/gpupeft/gpupeft/tensor"

// lstmParams are Params of shaders/lstm.wgsl.
type lstmParams struct {
	Rows, Width      uint32
	T, Before, After uint32
}

func (r *recorder) lstm(o tensor.LSTM) error {
	return r.lstmRows("forward", o.H, o.Reverse, o.Flops(), whole(o.H), whole(o.C), whole(o.Gates), whole(o.X), whole(o.W))
}

func (r *recorder) lstmBackward(o tensor.LSTMBackward) error {
	return r.lstmRows("backward", o.DH, !o.Reverse, o.Flops(), whole(o.DX), whole(o.DC), whole(o.DH), whole(o.C), whole(o.W), whole(o.Gates))
}

// lstmRows adds a dispatch for each row of a tensor [T, h], from the first on or back.
func (r *recorder) lstmRows(entry string, like *tensor.Tensor, back bool, flops float64, operands ...operand) error {
	rows, width := like.Rows(), like.Cols()
	// neighbour is a row that may not exist: then it is rows, which kernels know.
	neighbour := func(t int) uint32 {
		if t < 0 {
			t = rows
		}
		return uint32(t)
	}
	for i := range rows {
		t, next := i, 1
		if back {
			t, next = rows-1-i, -1
		}
		p := lstmParams{Rows: uint32(rows), Width: uint32(width), T: uint32(t), Before: neighbour(t - next), After: neighbour(t + next)}
		if entry == "backward" { // its order is against time
			p.Before, p.After = p.After, p.Before
		}
		err := r.add(task{
			program:  file{names: "lstm", entry: entry, consts: elementwiseConsts{elementwiseThreads}},
			operands: operands,
			params:   p,
			groups:   r.fold(ceilDiv(width, elementwiseThreads)),
			cost:     flops / float64(rows),
			steps:    4 * width,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
