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
			inverse := 1 / rms[r]
			for i, v := range row {
				dst[i] = v * inverse * (offset + w[i])
			}
		}
	})
}

func (k *task[T]) rmsNormDX(o RMSNormDX) {
	dx, dout, x, w, rms := k.floats(o.DX), k.floats(o.DOut), k.floats(o.X), k.floats(o.W), k.floats(o.RMS)
	n, d := len(rms), len(w)
	offset := T(o.Offset)
	k.parallel(n, grainFor(8*d), func(lo, hi int) {
		g := make([]T, d) // DOut·(Offset+W)
		for r := lo; r < hi; r++ {
			row, dst := x[r*d:(r+1)*d], dx[r*d:(r+1)*d]
			for i, v := range dout[r*d : (r+1)*d] {
				g[i] = v * (offset + w[i])
			}
			inverse := 1 / rms[r]
			c := k.dot(g, row) * inverse * inverse / T(d)
			for i, v := range row {
				store(&dst[i], (g[i]-v*c)*inverse, o.Add)
			}
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
