package tensor

import (
	"math"
	"slices"
)

func (k *task[T]) crossEntropy(o CrossEntropy) {
	stats, logits, targets := k.floats(o.Stats), k.floats(o.Logits), k.ints(o.Targets)
	m, c := lead(o.Logits)
	k.parallel(m, grainFor(10*c), func(lo, hi int) {
		scratch := k.borrow(c)
		defer k.scratch.Put(scratch)
		for r := lo; r < hi; r++ {
			stat, x := stats[r*StatsWidth:(r+1)*StatsWidth], logits[r*c:(r+1)*c]
			if o.First == 0 {
				stat[0], stat[1], stat[2], stat[3] = T(math.Inf(-1)), 0, 0, 0
			}
			if o.SoftCap > 0 {
				capTo(*scratch, x, T(o.SoftCap))
				x = *scratch
			}
			if v, ok := column(targets[r], o.First, c); ok {
				stat[2] = x[v]
			}
			k.fold(stat, x, *scratch, o.First)
		}
	})
}

// fold takes one part of a row, x, into its maximum, sum and argmax. scratch may be x,
// which is then overwritten.
func (k *task[T]) fold(stat, x, scratch []T, first int) {
	old, top := stat[0], k.maximum(x)
	if top > old || top != top {
		stat[0], stat[3] = top, T(first+slices.IndexFunc(x, func(v T) bool { return v == top || v != v }))
	}
	sum := k.expSum(scratch, x, stat[0])
	if stat[1] > 0 {
		sum += stat[1] * exp(old-stat[0])
	}
	stat[1] = sum
}

func (k *task[T]) crossEntropyBackward(o CrossEntropyBackward) {
	stats, logits, targets := k.floats(o.Stats), k.floats(o.Logits), k.ints(o.Targets)
	m, c := lead(o.Logits)
	scale, limit := T(factor(o.Scale)), T(o.SoftCap)
	k.parallel(m, grainFor(10*c), func(lo, hi int) {
		scratch := k.borrow(c)
		defer k.scratch.Put(scratch)
		x := *scratch
		for r := lo; r < hi; r++ {
			row, stat := logits[r*c:(r+1)*c], stats[r*StatsWidth:]
			if targets[r] < 0 {
				clear(row)
				continue
			}
			capped := row
			if limit > 0 {
				capTo(x, row, limit)
				capped = x
			}
			k.expSum(row, capped, stat[0])
			k.scaleTo(row, row, scale/stat[1])
			if v, ok := column(targets[r], o.First, c); ok {
				row[v] -= scale
			}
			for v := 0; v < c && limit > 0; v++ {
				row[v] *= capSlope(x[v], limit)
			}
		}
	})
}

// column returns where in a part of c columns from first a target lies, if it
// does.
func column(target int32, first, c int) (int, bool) {
	v := int(target) - first
	return v, target >= 0 && v >= 0 && v < c
}

// capTo sets dst to the soft-capped values of src, or copies them.
func capTo[T real](dst, src []T, limit T) {
	if limit == 0 {
		copy(dst, src)
		return
	}
	for i, v := range src {
		dst[i] = capped(v, limit)
	}
}
