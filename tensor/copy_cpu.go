package tensor

func (k *task[T]) copy(o Copy) {
	dst, src, d := k.floats(o.Dst), k.floats(o.Src), o.Dst.Cols()
	k.parallel(o.Batch*o.Rows, grainFor(2*d), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			b, t := n/o.Rows, n%o.Rows
			to, from := b*o.DstStride+o.DstFirst+t, b*o.SrcStride+o.SrcFirst+t
			copy(dst[to*d:(to+1)*d], src[from*d:(from+1)*d])
		}
	})
}
