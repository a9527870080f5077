package tensor

func (k *task[T]) columnScale(o ColumnScale) {
	out, x, s := k.floats(o.Out), k.floats(o.X), k.floats(o.S)
	d := len(s)
	k.parallel(o.X.Rows(), grainFor(2*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			dst, row := out[r*d:(r+1)*d], x[r*d:(r+1)*d]
			for i, v := range row {
				store(&dst[i], v*s[i], o.Add)
			}
		}
	})
}

func (k *task[T]) columnSums(o ColumnSums) {
	out, a := k.floats(o.Out), k.floats(o.A)
	n, d := lead(o.A)
	k.parallel(d, max(16, grainFor(2*n)), func(lo, hi int) {
		if !o.Add {
			clear(out[lo:hi])
		}
		for r := range n {
			if o.B == nil {
				k.axpy(1, a[r*d+lo:r*d+hi], out[lo:hi])
				continue
			}
			b := k.floats(o.B)[r*d : (r+1)*d]
			for i := lo; i < hi; i++ {
				out[i] += a[r*d+i] * b[i]
			}
		}
	})
}
