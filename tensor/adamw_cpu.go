package tensor

import "math"

func (k *task[T]) sumSquares(o SumSquares) {
	out, x := k.floats(o.Out), k.floats(o.X)
	part := (len(x) + len(out) - 1) / len(out)
	k.parallel(len(out), grainFor(2*part), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			from, to := min(n*part, len(x)), min((n+1)*part, len(x))
			out[n] = k.dot(x[from:to], x[from:to])
		}
	})
}

func (k *task[T]) clipNorm(o ClipNorm) {
	var sum float64
	for _, v := range k.floats(o.Sums) {
		sum += float64(v)
	}
	norm, clip := math.Sqrt(sum), 1.0
	if o.Max > 0 {
		clip = min(1, float64(o.Max)/(norm+1e-6))
	}
	out := k.floats(o.Clip)
	out[0], out[1] = T(norm), T(clip)
}

func (k *task[T]) adamW(o AdamW) {
	param, m, v, grad := k.floats(o.Param), k.floats(o.M), k.floats(o.V), k.floats(o.Grad)
	a := newAdamStep(o, k.floats(o.Clip)[1])
	k.parallel(len(param), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			a.take(&param[i], &m[i], &v[i], grad[i])
		}
	})
}

// adamStep is a step of AdamW, for each value.
type adamStep[T real] struct{ clip, beta1, beta2, eps, decay, step, correction T }

func newAdamStep[T real](o AdamW, clip T) adamStep[T] {
	return adamStep[T]{
		clip: clip, beta1: T(o.Beta1), beta2: T(o.Beta2), eps: T(o.Eps),
		decay:      T(float64(o.LR) * float64(o.WeightDecay)),
		step:       T(float64(o.LR) / (1 - math.Pow(float64(o.Beta1), float64(o.Step)))),
		correction: T(1 / math.Sqrt(1-math.Pow(float64(o.Beta2), float64(o.Step)))),
	}
}

// take changes a parameter and its moments.
func (a *adamStep[T]) take(param, m, v *T, grad T) {
	g := a.clip * grad
	*m = a.beta1**m + (1-a.beta1)*g
	*v = a.beta2**v + (1-a.beta2)*g*g
	root := T(math.Sqrt(float64(*v)))
	*param -= a.decay**param + a.step**m/(root*a.correction+a.eps)
}
