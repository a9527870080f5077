package tensor

func (k *task[T]) sgd(o SGD) {
	param, m, grad := k.floats(o.Param), k.floats(o.M), k.floats(o.Grad)
	clip, lr, momentum, decay := k.floats(o.Clip)[1], T(o.LR), T(o.Momentum), T(o.WeightDecay)
	k.parallel(len(param), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			m[i] = momentum*m[i] + clip*grad[i] + decay*param[i]
			param[i] -= lr * m[i]
		}
	})
}
