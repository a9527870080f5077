package gpu

import "github.com/gpupeft/gpupeft/tensor"

// crossEntropyParams are Params of shaders/crossentropy.wgsl.
type crossEntropyParams struct {
	Rows, Cols uint32
	First      int32
	SoftCap    float32
	Scale      float32
}

func (r *recorder) crossEntropy(o tensor.CrossEntropy) error {
	m := o.Logits.Rows()
	for lo, hi := range r.parts(m, m, rowBytes(o.Logits), 4) {
		l := r.rowTask("crossentropy", "forward", 2, hi-lo, o.Logits.Cols())
		l.operands = []operand{rowsOf(o.Stats, lo, hi), rowsOf(o.Logits, lo, hi), rowsOf(o.Logits, lo, hi), part(o.Targets, lo, hi-lo)}
		l.params = crossEntropyParams{
			Rows: uint32(hi - lo), Cols: uint32(elems(o.Logits.Cols())),
			First: int32(o.First), SoftCap: o.SoftCap,
		}
		l.cost = workOf(o.Flops(), lo, hi, m)
		if err := r.add(l); err != nil {
			return err
		}
	}
	return nil
}

func (r *recorder) crossEntropyBackward(o tensor.CrossEntropyBackward) error {
	m := o.Logits.Rows()
	for lo, hi := range r.parts(m, m, rowBytes(o.Logits), 4) {
		l := r.rowTask("crossentropy", "backward", 1, hi-lo, o.Logits.Cols())
		l.operands = []operand{rowsOf(o.Logits, lo, hi), rowsOf(o.Stats, lo, hi), part(o.Targets, lo, hi-lo)}
		l.params = crossEntropyParams{
			Rows: uint32(hi - lo), Cols: uint32(elems(o.Logits.Cols())),
			First: int32(o.First), SoftCap: o.SoftCap, Scale: one(o.Scale),
		}
		l.cost = workOf(o.Flops(), lo, hi, m)
		if err := r.add(l); err != nil {
			return err
		}
	}
	return nil
}
