package tensor

import "math"

// rootMeanSquare is √(mean x² + eps).
func (k *task[T]) rootMeanSquare(x []T, eps float32) T {
	return T(math.Sqrt(float64(k.dot(x, x))/float64(len(x)) + float64(eps)))
}

func (k *task[T]) rms(o RMS) {
	out, x := k.floats(o.Out), k.floats(o.X)
	d := len(x) / len(out)
	k.parallel(len(out), grainFor(2*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			out[r] = k.rootMeanSquare(x[r*d:(r+1)*d], o.Eps)
		}
	})
}

func (k *task[T]) rmsBackward(o RMSBackward) {
	dx, dout, x := k.floats(o.DX), k.floats(o.DOut), k.floats(o.X)
	d := len(x) / len(dout)
	k.parallel(len(dout), grainFor(4*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row := x[r*d : (r+1)*d]
			k.axpy(dout[r]/(T(d)*k.rootMeanSquare(row, o.Eps)), row, dx[r*d:(r+1)*d])
		}
	})
}

func (k *task[T]) rowDivide(o RowDivide) {
	out, x, s := k.floats(o.Out), k.floats(o.X), k.floats(o.S)
	d := len(x) / len(s)
	k.parallel(len(s), grainFor(2*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			for i := r * d; i < (r+1)*d; i++ {
				store(&out[i], x[i]/s[r], o.Add)
			}
		}
	})
}

func (k *task[T]) rowDivideDS(o RowDivideDS) {
	ds, dout, x, s := k.floats(o.DS), k.floats(o.DOut), k.floats(o.X), k.floats(o.S)
	d := len(x) / len(s)
	k.parallel(len(s), grainFor(2*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			ds[r] = -k.dot(dout[r*d:(r+1)*d], x[r*d:(r+1)*d]) / (s[r] * s[r])
		}
	})
}
