package vec

// ScaleTo sets dst to alpha·src; both may be the same slice.
func ScaleTo(dst, src []float32, alpha float32) {
	src = src[:len(dst)]
	switch {
	case len(dst) == 0:
	case hasAVX2:
		scaleTo(&dst[0], &src[0], len(dst), alpha)
	default:
		PlainScaleTo(dst, src, alpha)
	}
}

// Add sets dst to x+y.
func Add(dst, x, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	switch {
	case len(dst) == 0:
	case hasAVX2:
		add(&dst[0], &x[0], &y[0], len(dst))
	default:
		PlainAdd(dst, x, y)
	}
}

// Normalize sets dst to alpha·x·(offset+w).
func Normalize(dst, x, w []float32, alpha, offset float32) {
	x, w = x[:len(dst)], w[:len(dst)]
	switch {
	case len(dst) == 0:
	case hasAVX2:
		normalize(&dst[0], &x[0], &w[0], len(dst), alpha, offset)
	default:
		PlainNormalize(dst, x, w, alpha, offset)
	}
}

// ScoreGradient sets g to p·(g−mean)·scale.
func ScoreGradient(g, p []float32, mean, scale float32) {
	p = p[:len(g)]
	switch {
	case len(g) == 0:
	case hasAVX2:
		scoreGradient(&g[0], &p[0], len(g), mean, scale)
	default:
		PlainScoreGradient(g, p, mean, scale)
	}
}

// Gate sets out to gate·σ(gate)·up, σ(g) = 1/(1+e⁻ᵍ).
func Gate(out, gates, up []float32) {
	gates, up = gates[:len(out)], up[:len(out)]
	switch {
	case len(out) == 0:
	case hasAVX2:
		gate(&out[0], &gates[0], &up[0], len(out))
	default:
		PlainGate(out, gates, up)
	}
}

// GateBackward sets dup to dout·gate·s and dgate to dout·up·(s+gate·s·(1−s)), where s = σ(gate).
func GateBackward(dgate, dup, dout, gates, up []float32) {
	dup, dout, gates, up = dup[:len(dgate)], dout[:len(dgate)], gates[:len(dgate)], up[:len(dgate)]
	switch {
	case len(dgate) == 0:
	case hasAVX2:
		gateBackward(&dgate[0], &dup[0], &dout[0], &gates[0], &up[0], len(dgate))
	default:
		PlainGateBackward(dgate, dup, dout, gates, up)
	}
}

// Max returns the largest value of x, which isn't empty, or NaN if there is one.
func Max(x []float32) float32 {
	if hasAVX2 {
		return maximum(&x[0], len(x))
	}
	return PlainMax(x)
}
