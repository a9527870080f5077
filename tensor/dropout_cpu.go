package tensor

func (k *task[T]) dropout(o Dropout) {
	out, x := k.floats(o.Out), k.floats(o.X)
	keep, threshold := T(1/(1-o.P)), o.Threshold()
	k.parallel(len(out), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			var v T
			if o.random(uint32(i)) >= threshold {
				v = keep * x[i]
			}
			store(&out[i], v, o.Add)
		}
	})
}
