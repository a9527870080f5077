package tensor

import "math"

func (k *task[T]) edit(o Edit) {
	x, factor := k.floats(o.X), k.floats(o.Factor)
	var shift []T
	if o.Shift != nil {
		shift = k.floats(o.Shift)
	}
	k.parallel(len(x), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if math.IsInf(float64(x[i]), -1) {
				continue
			}
			x[i] *= factor[i]
			if shift != nil {
				x[i] += shift[i]
			}
		}
	})
}
