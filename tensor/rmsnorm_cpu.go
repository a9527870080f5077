package tensor

import "math"

func (k *task[T]) rmsNorm(o RMSNorm) {
	out, rms, x, w := k.floats(o.Out), k.floats(o.RMS), k.floats(o.X), k.floats(o.W)
	n, d := len(rms), len(w)
	offset := T(o.Offset)
	k.parallel(n, grainFor(4*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row, dst := x[r*d:(r+1)*d], out[r*d:(r+1)*d]
			rms[r] = T(math.Sqrt(float64(k.dot(row, row))/float64(d) + float64(o.Eps)))
			k.normalize(dst, row, w, 1/rms[r], offset)
		}
	})
}

func (k *task[T]) rmsNormDX(o RMSNormDX) {
	dx, dout, x, w, rms := k.floats(o.DX), k.floats(o.DOut), k.floats(o.X), k.floats(o.W), k.floats(o.RMS)
	n, d := len(rms), len(w)
	offset := T(o.Offset)
	k.parallel(n, grainFor(8*d), func(lo, hi int) {
		g := make([]T, d) // DOut·(Offset+W)/RMS
		for r := lo; r < hi; r++ {
			row, dst := x[r*d:(r+1)*d], dx[r*d:(r+1)*d]
			inverse := 1 / rms[r]
			k.normalize(g, dout[r*d:(r+1)*d], w, inverse, offset)
			if !o.Add {
				clear(dst)
			}
			k.axpy(-k.dot(g, row)*inverse*inverse/T(d), row, dst)
			k.axpy(1, g, dst)
		}
	})
}

func (k *task[T]) rmsNormDW(o RMSNormDW) {
	dw, dout, x, rms := k.floats(o.DW), k.floats(o.DOut), k.floats(o.X), k.floats(o.RMS)
	n, d := len(rms), len(dw)
	k.parallel(d, max(16, grainFor(3*n)), func(lo, hi int) {
		if !o.Add {
			clear(dw[lo:hi])
		}
		for r := range n {
			inverse := 1 / rms[r]
			row := x[r*d : (r+1)*d]
			for i := lo; i < hi; i++ {
				dw[i] += dout[r*d+i] * row[i] * inverse
			}
		}
	})
}
