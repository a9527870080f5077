package torchfile

import (
	"cmp"
	"math"
	"slices"
)

// maxDims bounds the number of a tensor's dimensions.
const maxDims = 16

// axis is a dimension as it lies in the file (src) and in what Read returns (dst), steps
// in bytes.
type axis struct {
	n        int64
	src, dst int64
}

// entry checks a view against its storage and says where its elements are.
func (v *view) entry(name string) (Entry, error) {
	width := elementBytes[v.dtype]
	e := Entry{Name: name, DType: v.dtype, Shape: make([]int, len(v.shape)), width: width}
	if len(v.stride) != len(v.shape) {
		return e, malformed("shape %v with strides %v", v.shape, v.stride)
	}
	elements := int64(1)
	for i, d := range v.shape {
		if d < 0 || d > math.MaxInt/width || v.stride[i] < 0 {
			return e, malformed("shape %v with strides %v", v.shape, v.stride)
		}
		e.Shape[i] = int(d)
		elements = times(elements, d)
	}
	if slices.Contains(v.shape, 0) {
		elements = 0
	}
	have := v.storage.bytes / width
	if v.offset < 0 || v.offset > have {
		return e, malformed("offset %d in a storage of %d elements", v.offset, have)
	}
	if elements == 0 {
		return e, nil
	}
	last := v.offset
	for i, d := range v.shape {
		last = plus(last, times(d-1, v.stride[i]))
	}
	if last >= have {
		return e, malformed("shape %v with strides %v from %d on is beyond a storage of %d elements", v.shape, v.stride, v.offset, have)
	}
	e.axes = v.axes(width)
	if e.axes == nil {
		return e, unsupported("shape %v with strides %v repeats elements: save x.contiguous()", v.shape, v.stride)
	}
	e.Bytes = elements * width
	e.start = v.storage.start + v.offset*width
	return e, nil
}

// axes returns the dimensions in the order of the file, so that it is read forwards, and
// those joined that lie together. It returns nil if elements may lie on each other.
func (v *view) axes(width int64) []axis {
	var axes []axis
	dst := width
	for i := len(v.shape) - 1; i >= 0; i-- {
		if v.shape[i] > 1 {
			axes = append(axes, axis{v.shape[i], v.stride[i] * width, dst})
		}
		dst = times(dst, v.shape[i])
	}
	slices.SortStableFunc(axes, func(a, b axis) int { return cmp.Compare(a.src, b.src) })
	joined := []axis{{1, width, width}}
	reach := width // from the first byte of the axes so far to behind their last
	for _, a := range axes {
		if a.src < reach {
			return nil
		}
		reach = plus(reach, times(a.n-1, a.src))
		in := &joined[len(joined)-1]
		if a.src == in.n*in.src && a.dst == in.n*in.dst {
			in.n *= a.n
			continue
		}
		joined = append(joined, a)
	}
	slices.Reverse(joined)
	return joined
}

// times multiplies numbers that aren't negative, up to the largest one.
func times(a, b int64) int64 {
	if a > 0 && b > math.MaxInt64/a {
		return math.MaxInt64
	}
	return a * b
}

// plus adds numbers that aren't negative, up to the largest one.
func plus(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}
