package tensor

func (k *task[T]) copy(o Copy) {
	dst, src, d := k.floats(o.Dst), k.floats(o.Src), o.Dst.Cols()
	move := func(b, t int) {
		to, from := b*o.DstStride+o.DstFirst+t, b*o.SrcStride+o.SrcFirst+t
		if o.Add {
			k.axpy(1, src[from*d:(from+1)*d], dst[to*d:(to+1)*d])
		} else {
			copy(dst[to*d:(to+1)*d], src[from*d:(from+1)*d])
		}
	}
	k.parallel(o.Rows, grainFor(2*d*o.Batch), func(lo, hi int) { // a row of all sequences belongs to one goroutine
		for t := lo; t < hi; t++ {
			for b := range o.Batch {
				move(b, t)
			}
		}
	})
}
