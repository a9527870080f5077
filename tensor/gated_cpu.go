package tensor

// Both activations are g·σ(z), with z = g for SiLU and, because
// (1+tanh u)/2 = σ(2u), z = 2√(2/π)·(g+0.044715·g³) for the tanh form of GELU.
const (
	geluCubic = 0.044715
	geluScale = 2 * 0.797884560802865355879892119868763737 // 2√(2/π)
)

// gateArgument returns z and its derivative by g.
func gateArgument[T real](a Activation, g T) (z, slope T) {
	if a == SiLU {
		return g, 1
	}
	return geluScale * (g + geluCubic*g*g*g), geluScale * (1 + 3*geluCubic*g*g)
}

// gatedChunk is how many values a goroutine takes, and the length of the scratch
// for their exponentials.
const gatedChunk = 1 << 12

// sigmoids fills dst with σ(z) of each gate.
func (k *task[T]) sigmoids(a Activation, dst, gate []T) {
	for i, g := range gate {
		z, _ := gateArgument(a, g)
		dst[i] = -z
	}
	k.expSum(dst, dst, 0)
	for i, e := range dst {
		dst[i] = 1 / (1 + e)
	}
}

func (k *task[T]) gated(o Gated) {
	out, gate, up := k.floats(o.Out), k.floats(o.Gate), k.floats(o.Up)
	k.parallel(len(out), gatedChunk, func(lo, hi int) {
		sigma := make([]T, hi-lo)
		k.sigmoids(o.Act, sigma, gate[lo:hi])
		for i, s := range sigma {
			out[lo+i] = gate[lo+i] * s * up[lo+i]
		}
	})
}

func (k *task[T]) gatedBackward(o GatedBackward) {
	dgate, dup, dout := k.floats(o.DGate), k.floats(o.DUp), k.floats(o.DOut)
	gate, up := k.floats(o.Gate), k.floats(o.Up)
	k.parallel(len(dout), gatedChunk, func(lo, hi int) {
		sigma := make([]T, hi-lo)
		k.sigmoids(o.Act, sigma, gate[lo:hi])
		for i, s := range sigma {
			n := lo + i
			_, slope := gateArgument(o.Act, gate[n])
			dup[n] = dout[n] * gate[n] * s
			dgate[n] = dout[n] * up[n] * (s + gate[n]*s*(1-s)*slope)
		}
	})
}
