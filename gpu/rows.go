package gpu

import (
	"fmt"
	"math/bits"
)

// withElem is the name of a file behind those that it needs to work on rows of cols
// values: the functions of an Elem, and the others given.
func withElem(cols int, names string) string {
	_, width := elem(cols)
	return fmt.Sprintf("elem%d+%s", width, names)
}

// rowFile is a program that gives each row of cols values a workgroup.
func (r *recorder) rowFile(name, entry string, cols int) file {
	kind, _ := elem(cols)
	return file{
		names:  withElem(cols, "reduce+"+name),
		entry:  entry,
		consts: elemConsts{kind, r.rowLanes(cols)},
	}
}

// loneThreads is the size of a workgroup in which each lane has a row to itself.
const loneThreads = 8

// rowTask is a task that goes over rows of cols values in so many passes, by a program
// that stands behind reduce.wgsl or alone.wgsl: a software adapter gives each of many short
// rows a lane, because it gains nothing by neighbours that load neighbouring values, and
// pays for every barrier.
func (r *recorder) rowTask(name, entry string, passes, rows, cols int) task {
	const many, short = 32, 1024
	if r.tune.tiles != TilesRegister || rows < many || elems(cols) > short {
		return task{program: r.rowFile(name, entry, cols), groups: r.fold(rows), steps: r.rowSteps(passes, cols)}
	}
	kind, _ := elem(cols)
	return task{
		program: file{names: withElem(cols, "alone+"+name), entry: entry, consts: elemConsts{kind, loneThreads}},
		groups:  r.fold(ceilDiv(rows, loneThreads)),
		steps:   passes * elems(cols),
	}
}

// rowLanes is the size of the workgroup for a row of cols values: for very long ones, as
// those of logits, more than for others, where the adapter gains by it.
func (r *recorder) rowLanes(cols int) uint32 {
	const share = 16 // Elems of a lane, at least
	n := r.tune.rowThreads
	for n < r.tune.longRowThreads && elems(cols) >= 2*share*int(n) {
		n *= 2
	}
	return n
}

// elems is the number of Elems in a row of cols values.
func elems(cols int) int {
	_, width := elem(cols)
	return cols / width
}

// rowSteps is the number of loop iterations for so many passes over a row of cols
// values, by the lanes of a row's workgroup.
func (r *recorder) rowSteps(passes, cols int) int {
	const reductions = 3 // at most, in all kernels
	n := r.rowLanes(cols)
	return passes*ceilDiv(elems(cols), int(n)) + reductions*bits.Len32(n)
}

// workOf is the part of an operation's work that falls on rows [lo, hi) of n.
func workOf(flops float64, lo, hi, n int) float64 {
	return flops * float64(hi-lo) / float64(n)
}

// slower is how much longer the kernels that inTurns is for take than matrix products
// of as many operations, on software adapters at worst.
const slower = 8

// inTurns adds a task of n workgroups as several dispatches, each short enough. Their
// params are made from the range [start, end) of workgroups that they do.
func (r *recorder) inTurns(l task, n int, params func(start, end uint32) any) error {
	turns := 1 + int(slower*l.cost/r.tune.dispatchFlops)
	per := ceilDiv(n, turns)
	for start := 0; start < n; start += per {
		end := min(start+per, n)
		turn := l
		turn.params = params(uint32(start), uint32(end))
		turn.groups = r.fold(end - start)
		turn.cost = workOf(l.cost, start, end, n)
		if err := r.add(turn); err != nil {
			return err
		}
	}
	return nil
}
