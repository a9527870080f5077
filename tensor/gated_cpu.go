package tensor

import "math"

// Both activations of the model families are g·σ(z), with z = g for SiLU and, because
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

// activate returns a(gate), and its slopes if they are wanted, by value.
func (k *task[T]) activate(a Activation, gate []T, slopes bool) (value, slope []T) {
	value = make([]T, len(gate))
	if slopes {
		slope = make([]T, len(gate))
	}
	if a != SiLU && a != GELUTanh {
		for i, g := range gate {
			v, d := activated(a, float64(g))
			if value[i] = T(v); slopes {
				slope[i] = T(d)
			}
		}
		return value, slope
	}
	k.sigmoids(a, value, gate)
	for i, s := range value {
		if slopes {
			_, dz := gateArgument(a, gate[i])
			slope[i] = s + gate[i]*s*(1-s)*dz
		}
		value[i] = gate[i] * s
	}
	return value, slope
}

// activated is a(g) and its derivative for the activations of adapters, which are
// small.
func activated(a Activation, g float64) (value, slope float64) {
	switch a {
	case GELU:
		cdf := 0.5 * (1 + math.Erf(g/math.Sqrt2))
		return g * cdf, cdf + g*math.Exp(-g*g/2)/math.Sqrt(2*math.Pi)
	case ReLU, LeakyReLU:
		below := 0.0
		if a == LeakyReLU {
			below = 0.01
		}
		if g > 0 {
			return g, 1
		}
		return below * g, below
	case Sigmoid:
		s := 1 / (1 + math.Exp(-g))
		return s, s * (1 - s)
	case Tanh:
		t := math.Tanh(g)
		return t, 1 - t*t
	}
	return g, 1
}

func (k *task[T]) gated(o Gated) {
	out, gate := k.floats(o.Out), k.floats(o.Gate)
	k.parallel(len(out), gatedChunk, func(lo, hi int) {
		if o.Act == SiLU && o.Up != nil {
			k.gate(out[lo:hi], gate[lo:hi], k.floats(o.Up)[lo:hi])
			return
		}
		value, _ := k.activate(o.Act, gate[lo:hi], false)
		if o.Up == nil {
			copy(out[lo:hi], value)
			return
		}
		up := k.floats(o.Up)[lo:hi]
		for i, v := range value {
			out[lo+i] = v * up[i]
		}
	})
}

func (k *task[T]) gatedBackward(o GatedBackward) {
	dgate, dout, gate := k.floats(o.DGate), k.floats(o.DOut), k.floats(o.Gate)
	k.parallel(len(dout), gatedChunk, func(lo, hi int) {
		if o.Act == SiLU && o.Up != nil {
			k.gateBackward(dgate[lo:hi], k.floats(o.DUp)[lo:hi], dout[lo:hi], gate[lo:hi], k.floats(o.Up)[lo:hi])
			return
		}
		value, slope := k.activate(o.Act, gate[lo:hi], true)
		for i, s := range slope {
			dgate[lo+i] = dout[lo+i] * s
		}
		if o.Up == nil {
			return
		}
		up, dup := k.floats(o.Up)[lo:hi], k.floats(o.DUp)[lo:hi]
		for i, v := range value {
			dup[i] = dout[lo+i] * v
			dgate[lo+i] *= up[i]
		}
	})
}
