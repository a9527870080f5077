package tensor

func (k *task[T]) lion(o Lion) {
	param, m, grad := k.floats(o.Param), k.floats(o.M), k.floats(o.Grad)
	clip, lr := k.floats(o.Clip)[1], T(o.LR)
	beta1, beta2, decay := T(o.Beta1), T(o.Beta2), T(float64(o.LR)*float64(o.WeightDecay))
	k.parallel(len(param), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g := clip * grad[i]
			param[i] -= decay*param[i] + lr*sign(beta1*m[i]+(1-beta1)*g)
			m[i] = beta2*m[i] + (1-beta2)*g
		}
	})
}

// sign is −1, 0 or 1; of a NaN it is NaN.
func sign[T real](x T) T {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x
}
