package gpu

import "github.com/gpupeft/gpupeft/tensor"

// elementwiseParams are Params of shaders/elementwise.wgsl.
type elementwiseParams struct {
	N          uint32
	Factor     float32
	Accumulate uint32
}

// elementwiseConsts is the preamble of kernels with one invocation for every value
// or vec4.
type elementwiseConsts struct{ Threads uint32 }

// elementwiseThreads suits all adapters: there are no barriers.
const elementwiseThreads = 64

func (r *recorder) addition(o tensor.Add) error {
	return r.elementwise("add", elementwiseParams{}, o.Flops(), o.Out, o.A, o.B)
}

func (r *recorder) scale(o tensor.Scale) error {
	return r.elementwise("scale", elementwiseParams{Factor: o.Factor, Accumulate: flag(o.Add)}, o.Flops(), o.Out, o.X)
}

func (r *recorder) fill(o tensor.Fill) error {
	return r.elementwise("fill", elementwiseParams{Factor: o.Value}, o.Flops(), o.Out)
}

func (r *recorder) divRoot(o tensor.DivRoot) error {
	return r.elementwise("div_root", elementwiseParams{Accumulate: flag(o.Add)}, o.Flops(), o.Out, o.X, o.S)
}

func (r *recorder) softcap(o tensor.SoftCap) error {
	return r.elementwise("softcap", elementwiseParams{Factor: o.Cap}, o.Flops(), o.Out, o.X)
}

func (r *recorder) softcapBackward(o tensor.SoftCapBackward) error {
	return r.elementwise("softcap_backward", elementwiseParams{Factor: o.Cap}, o.Flops(), o.DX, o.DOut, o.Out)
}

// elementwise runs an entry point of shaders/elementwise.wgsl over tensors of the same
// number of values, in parts that fit a binding.
func (r *recorder) elementwise(entry string, p elementwiseParams, flops float64, ts ...*tensor.Tensor) error {
	n := ts[0].Len()
	for lo, hi := range r.parts(n, n, 4) {
		p.N = uint32(hi - lo)
		t := task{
			program: file{names: "elementwise", entry: entry, consts: elementwiseConsts{elementwiseThreads}},
			params:  p,
			groups:  r.fold(ceilDiv(hi-lo, 4*elementwiseThreads)),
			cost:    flops * float64(hi-lo) / float64(n),
		}
		for _, x := range ts {
			t.operands = append(t.operands, part(x, lo, hi-lo))
		}
		if err := r.add(t); err != nil {
			return err
		}
	}
	return nil
}
