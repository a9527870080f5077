package tensor

import "math"

func (k *task[T]) softmax(o Softmax) {
	out, x := k.floats(o.Out), k.floats(o.X)
	n, d := lead(o.X)
	k.parallel(n, grainFor(10*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			src, dst := x[r*d:(r+1)*d], out[r*d:(r+1)*d]
			top := k.maximum(src)
			if top == T(math.Inf(-1)) {
				clear(dst)
				continue
			}
			sum := k.expSum(dst, src, top)
			k.scaleTo(dst, dst, 1/sum)
		}
	})
}

func (k *task[T]) softmaxBackward(o SoftmaxBackward) {
	dx, dout, out := k.floats(o.DX), k.floats(o.DOut), k.floats(o.Out)
	n, d := lead(o.Out)
	k.parallel(n, grainFor(4*d), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			p, g, dst := out[r*d:(r+1)*d], dout[r*d:(r+1)*d], dx[r*d:(r+1)*d]
			mean := k.dot(g, p)
			for i, v := range p {
				dst[i] = v * (g[i] - mean)
			}
		}
	})
}
