package gpu

import "github.com/gpupeft/gpupeft/tensor"

// editParams are Params of shaders/edit.wgsl.
type editParams struct{ N uint32 }

func (r *recorder) edit(o tensor.Edit) error {
	n, entry := o.X.Len(), "scale"
	if o.Shift != nil {
		entry = "shift"
	}
	for lo, hi := range r.parts(n, n, 4) {
		t := task{
			program:  file{names: "edit", entry: entry, consts: elementwiseConsts{elementwiseThreads}},
			operands: []operand{part(o.X, lo, hi-lo), part(o.Factor, lo, hi-lo)},
			params:   editParams{uint32(hi - lo)},
			groups:   r.fold(ceilDiv(hi-lo, 4*elementwiseThreads)),
			cost:     workOf(o.Flops(), lo, hi, n),
		}
		if o.Shift != nil {
			t.operands = append(t.operands, part(o.Shift, lo, hi-lo))
		}
		if err := r.add(t); err != nil {
			return err
		}
	}
	return nil
}
