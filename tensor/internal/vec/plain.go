package vec

import "math"

// real is what the plain forms compute in.
type real interface{ float32 | float64 }

// PlainScaleTo is ScaleTo in portable code.
func PlainScaleTo[T real](dst, src []T, alpha T) {
	for i, v := range src {
		dst[i] = alpha * v
	}
}

// PlainAdd is Add in portable code.
func PlainAdd[T real](dst, x, y []T) {
	for i, v := range x {
		dst[i] = v + y[i]
	}
}

// PlainNormalize is Normalize in portable code.
func PlainNormalize[T real](dst, x, w []T, alpha, offset T) {
	for i, v := range x {
		dst[i] = alpha * v * (offset + w[i])
	}
}

// PlainScoreGradient is ScoreGradient in portable code.
func PlainScoreGradient[T real](g, p []T, mean, scale T) {
	for i, v := range p {
		g[i] = v * (g[i] - mean) * scale
	}
}

// PlainGate is Gate in portable code.
func PlainGate[T real](out, gates, up []T) {
	for i, g := range gates {
		out[i] = g * sigmoid(g) * up[i]
	}
}

// PlainGateBackward is GateBackward in portable code.
func PlainGateBackward[T real](dgate, dup, dout, gates, up []T) {
	for i, g := range gates {
		s := sigmoid(g)
		dup[i] = dout[i] * g * s
		dgate[i] = dout[i] * up[i] * (s + g*s*(1-s))
	}
}

// PlainMax is Max in portable code.
func PlainMax[T real](x []T) T {
	top := x[0]
	for _, v := range x[1:] {
		top = max(top, v)
	}
	return top
}

func sigmoid[T real](x T) T { return T(1 / (1 + math.Exp(-float64(x)))) }
