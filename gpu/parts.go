package gpu

import (
	"iter"

	"github.com/gpupeft/gpupeft/tensor"
)

// parts cuts n rows into ranges [lo, hi) of at most `most` rows, such that a range
// of rows of each of the sizes given fits a binding and begins where a binding may
// begin. Where even the least number of rows doesn't fit, the error comes from bind.
func (r *recorder) parts(n, most int, rowBytes ...int64) iter.Seq2[int, int] {
	step := 4 // so that columns which are cut the same way stay whole vec4s
	for _, bytes := range rowBytes {
		most = min(most, int(r.bindingSize()/bytes))
		step = max(step, OffsetAlignment/divisor(bytes))
	}
	if most > 64 && step <= 64 {
		step = 64 // tiles of kernels stay whole
	}
	per := max(step, most/step*step)
	if most >= n {
		per = n
	}
	return func(yield func(lo, hi int) bool) {
		for lo := 0; lo < n; lo += per {
			if !yield(lo, min(lo+per, n)) {
				return
			}
		}
	}
}

// partsOf is parts for the rows of a matrix of weights: each lies in one buffer.
func (r *recorder) partsOf(t *tensor.Tensor, most int, rowBytes ...int64) iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		for first, end := range r.rowsByBuffer(t) {
			for lo, hi := range r.parts(end-first, most, rowBytes...) {
				if !yield(first+lo, first+hi) {
					return
				}
			}
		}
	}
}

// rowsByBuffer cuts the rows of t where it goes on in another buffer.
func (r *recorder) rowsByBuffer(t *tensor.Tensor) iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		s, lo, err := r.storageOf(t)
		if err != nil { // bind reports it
			yield(0, t.Rows())
			return
		}
		row := rowBytes(t)
		for sp := range s.spans(lo, t.Bytes()) {
			if !yield(int(sp.at/row), int((sp.at+sp.n)/row)) {
				return
			}
		}
	}
}

// divisor is the largest power of two that divides n, up to OffsetAlignment.
func divisor(n int64) int { return int(min(n&-n, OffsetAlignment)) }
