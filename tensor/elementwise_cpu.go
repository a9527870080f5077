package tensor

import "math"

// elementChunk is how many values a goroutine takes at a time.
const elementChunk = 1 << 14

func (k *task[T]) add(o Add) {
	out, a, b := k.floats(o.Out), k.floats(o.A), k.floats(o.B)
	k.parallel(len(out), elementChunk, func(lo, hi int) {
		k.sum(out[lo:hi], a[lo:hi], b[lo:hi])
	})
}

func (k *task[T]) scale(o Scale) {
	out, x, f := k.floats(o.Out), k.floats(o.X), T(o.Factor)
	k.parallel(len(out), elementChunk, func(lo, hi int) {
		if o.Add {
			k.axpy(f, x[lo:hi], out[lo:hi])
		} else {
			k.scaleTo(out[lo:hi], x[lo:hi], f)
		}
	})
}

func (k *task[T]) fill(o Fill) {
	out := k.floats(o.Out)
	k.parallel(len(out), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			out[i] = T(o.Value)
		}
	})
}

func (k *task[T]) divRoot(o DivRoot) {
	out, x, s := k.floats(o.Out), k.floats(o.X), k.floats(o.S)
	k.parallel(len(out), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			store(&out[i], x[i]/T(math.Sqrt(float64(s[i]))), o.Add)
		}
	})
}

func (k *task[T]) softCap(o SoftCap) {
	out, x := k.floats(o.Out), k.floats(o.X)
	k.parallel(len(out), grainFor(20), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			out[i] = capped(x[i], T(o.Cap))
		}
	})
}

func (k *task[T]) softCapBackward(o SoftCapBackward) {
	dx, dout, out := k.floats(o.DX), k.floats(o.DOut), k.floats(o.Out)
	k.parallel(len(dx), elementChunk, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			dx[i] = dout[i] * capSlope(out[i], T(o.Cap))
		}
	})
}
