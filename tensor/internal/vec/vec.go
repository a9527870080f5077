package vec

import "math"

// Dot returns the inner product of x and y.
func Dot(x, y []float32) float32 {
	y = y[:len(x)]
	if len(x) == 0 {
		return 0
	}
	if hasAVX2 {
		return dot(&x[0], &y[0], len(x))
	}
	return dotGo(x, y)
}

// Axpy adds alpha*x to y.
func Axpy(alpha float32, x, y []float32) {
	y = y[:len(x)]
	if len(x) == 0 {
		return
	}
	if hasAVX2 {
		axpy(alpha, &x[0], &y[0], len(x))
		return
	}
	axpyGo(alpha, x, y)
}

// Exp sets dst to e^src; both may be the same slice. The relative error is below 1e-7 where the result is a
// normal number and below half a unit of the smallest subnormal further down; arguments above 88.7228 give
// +Inf, -Inf gives 0 and NaN gives NaN.
func Exp(dst, src []float32) {
	ExpSum(dst, src, 0)
}

// ExpSum sets dst to e^(src-shift), both may be the same slice, and returns the sum of dst: the numerators
// and the denominator of a softmax where shift is the largest element. The errors are those of Exp; beyond
// them the subtraction is rounded to float32.
func ExpSum(dst, src []float32, shift float32) float32 {
	src = src[:len(dst)]
	if len(dst) == 0 {
		return 0
	}
	if hasAVX2 {
		return expSum(&dst[0], &src[0], len(dst), shift)
	}
	return expSumGo(dst, src, shift)
}

func dotGo(x, y []float32) float32 {
	var s0, s1, s2, s3 float32
	for len(x) >= 4 && len(y) >= 4 {
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
		x, y = x[4:], y[4:]
	}
	for i, v := range x {
		s0 += v * y[i]
	}
	return s0 + s1 + (s2 + s3)
}

func axpyGo(alpha float32, x, y []float32) {
	for i, v := range x {
		y[i] += alpha * v
	}
}

func expSumGo(dst, src []float32, shift float32) float32 {
	var sum float32
	for i := range dst {
		dst[i] = float32(math.Exp(float64(src[i] - shift)))
		sum += dst[i]
	}
	return sum
}
