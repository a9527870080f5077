package tensor

import "math"

func (k *task[T]) crossEntropy(o CrossEntropy) {
	stats, logits, targets := k.floats(o.Stats), k.floats(o.Logits), k.ints(o.Targets)
	m, c := lead(o.Logits)
	k.parallel(m, grainFor(10*c), func(lo, hi int) {
		x := make([]T, c)
		for r := lo; r < hi; r++ {
			stat := stats[r*StatsWidth : (r+1)*StatsWidth]
			if o.First == 0 {
				stat[0], stat[1], stat[2], stat[3] = T(math.Inf(-1)), 0, 0, 0
			}
			capTo(x, logits[r*c:(r+1)*c], T(o.SoftCap))
			if v, ok := column(targets[r], o.First, c); ok {
				stat[2] = x[v]
			}
			k.fold(stat, x, o.First)
		}
	})
}

// fold takes one part of a row, x, into its maximum, sum and argmax. x is
// overwritten.
func (k *task[T]) fold(stat, x []T, first int) {
	old, top := stat[0], stat[0]
	for v, value := range x {
		if value > top || value != value {
			top, stat[3] = value, T(first+v)
		}
	}
	sum := k.expSum(x, x, top)
	if stat[1] > 0 {
		sum += stat[1] * exp(old-top)
	}
	stat[0], stat[1] = top, sum
}

func (k *task[T]) crossEntropyBackward(o CrossEntropyBackward) {
	stats, logits, targets := k.floats(o.Stats), k.floats(o.Logits), k.ints(o.Targets)
	m, c := lead(o.Logits)
	scale, limit := T(factor(o.Scale)), T(o.SoftCap)
	k.parallel(m, grainFor(10*c), func(lo, hi int) {
		x := make([]T, c)
		for r := lo; r < hi; r++ {
			row, stat := logits[r*c:(r+1)*c], stats[r*StatsWidth:]
			if targets[r] < 0 {
				clear(row)
				continue
			}
			capTo(x, row, limit)
			k.expSum(row, x, stat[0])
			scaleTo(row, row, scale/stat[1])
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
