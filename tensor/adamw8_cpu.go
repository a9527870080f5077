package tensor

import (
	"math"
	"sort"
)

func (k *task[T]) adamW8(o AdamW8) {
	param, grad, maps := k.floats(o.Param), k.floats(o.Grad), k.floats(o.Maps)
	a := newAdamStep(AdamW{LR: o.LR, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, WeightDecay: o.WeightDecay, Step: o.Step}, k.floats(o.Clip)[1])
	ms := moments8[T]{k.ints(o.M), k.floats(o.MMax), maps[:256]}
	vs := moments8[T]{k.ints(o.V), k.floats(o.VMax), maps[256:]}
	k.parallel(len(ms.most), grainFor(60*MomentBlock), func(lo, hi int) {
		var m, v [MomentBlock]T
		for b := lo; b < hi; b++ {
			at := b * MomentBlock
			n := min(MomentBlock, len(param)-at)
			ms.decode(b, m[:n])
			vs.decode(b, v[:n])
			for i := range n {
				a.take(&param[at+i], &m[i], &v[i], grad[at+i])
			}
			ms.encode(b, m[:n])
			vs.encode(b, v[:n])
		}
	})
}

// moments8 are one moment of all values.
type moments8[T real] struct {
	codes     []int32 // four each
	most      []T     // by block
	fractions []T     // by code
}

// decode fills dst with the values of block b.
func (m moments8[T]) decode(b int, dst []T) {
	for i := range dst {
		at := b*MomentBlock + i
		dst[i] = m.fractions[byte(uint32(m.codes[at/4])>>(8*(at%4)))] * m.most[b]
	}
}

// encode stores the values of block b.
func (m moments8[T]) encode(b int, src []T) {
	most := T(0)
	for _, x := range src {
		most = max(most, T(math.Abs(float64(x))))
	}
	m.most[b] = most
	for i, x := range src {
		if most > 0 {
			x /= most
		}
		at := b*MomentBlock + i
		shift := 8 * (at % 4)
		word := uint32(m.codes[at/4])&^(255<<shift) | uint32(m.nearest(x))<<shift
		m.codes[at/4] = int32(word)
	}
}

// nearest returns the code of the fraction nearest to x.
func (m moments8[T]) nearest(x T) int {
	above := sort.Search(len(m.fractions), func(i int) bool { return m.fractions[i] > x })
	switch {
	case above == 0:
		return 0
	case above == len(m.fractions) || m.fractions[above]-x >= x-m.fractions[above-1]:
		return above - 1
	}
	return above
}
