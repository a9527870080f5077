package tensor

import (
	"fmt"
	"math"
)

func (k *task[T]) embed(o Embed) error {
	out, ids := k.floats(o.Out), k.ints(o.IDs) // [N, D]
	vocab, d := lead(o.Table)
	lowest := math.MinInt32
	if o.Extra != nil {
		lowest = -o.Extra.Rows()
	}
	if err := checkRows("IDs", ids, lowest, vocab); err != nil {
		return err
	}
	table, prompt := T(factor(o.Scale)), T(factor(o.ExtraScale))
	k.parallel(len(ids), grainFor(2*d), func(lo, hi int) {
		for n := lo; n < hi; n++ {
			row := out[n*d : (n+1)*d]
			switch id := int(ids[n]); {
			case id >= 0:
				k.scaleTo(row, k.weightRow(o.Table, id, row), table)
			case o.Extra != nil:
				k.scaleTo(row, k.weightRow(o.Extra, -1-id, row), prompt)
			default:
				clear(row)
			}
		}
	})
	return nil
}

func (k *task[T]) embedBackward(o EmbedBackward) error {
	dtable, dout, ids := k.floats(o.DTable), k.floats(o.DOut), k.ints(o.IDs)
	rows, d := lead(o.DTable)
	targets := make([]int, 0, len(ids)) // the rows of DTable
	for n, id := range ids {
		target := int(id)
		if o.Extra {
			target = -1 - target
		}
		if target >= rows {
			return fmt.Errorf("IDs[%d] is %d, DTable is %v: %w", n, id, o.DTable, ErrShape)
		}
		targets = append(targets, target)
	}
	s := T(factor(o.Scale))
	k.parallel(d, max(16, grainFor(2*len(ids)+rows)), func(lo, hi int) {
		for r := 0; r < rows && !o.Add; r++ {
			clear(dtable[r*d+lo : r*d+hi])
		}
		for n, r := range targets {
			if r >= 0 {
				k.axpy(s, dout[n*d+lo:n*d+hi], dtable[r*d+lo:r*d+hi])
			}
		}
	})
	return nil
}

func (k *task[T]) gather(o Gather) error {
	out, x, rows := k.floats(o.Out), k.floats(o.X), k.ints(o.Rows)
	n, d := lead(o.X)
	for i, r := range rows {
		if int(r) >= n {
			return fmt.Errorf("entry %d of Rows is %d, X is %v: %w", i, r, o.X, ErrShape)
		}
	}
	k.parallel(len(rows), grainFor(2*d), func(lo, hi int) {
		for m := lo; m < hi; m++ {
			dst := out[m*d : (m+1)*d]
			if r := int(rows[m]); r >= 0 {
				copy(dst, x[r*d:(r+1)*d])
			} else {
				clear(dst)
			}
		}
	})
	return nil
}

// checkRows verifies that indices lie in [lo, hi).
func checkRows(field string, indices []int32, lo, hi int) error {
	for n, i := range indices {
		if int(i) < lo || int(i) >= hi {
			return fmt.Errorf("%s[%d] is %d, must be in [%d, %d): %w", field, n, i, lo, hi, ErrShape)
		}
	}
	return nil
}
