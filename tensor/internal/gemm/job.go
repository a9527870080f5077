package gemm

import (
	"sync"
	"sync/atomic"
)

// job is one product on its way through the workers.
type job struct {
	kernels     *kernels
	c           target
	a, b        side
	k           int
	alpha, beta float32

	small            []float32 // skinny method: the rows of b, k values each, smallStep apart
	buffer           []float32 // what small points into where b had to be unpacked
	smallStep, share int       // share: rows of a per task

	kc int // packed method: most terms per call of a kernel
	chunk
	packedLeft []float32    // the chunk's part of A
	unpacked   atomic.Int64 // tasks of packing it that aren't done

	// The tasks as functions, made once: method values are allocated where they escape.
	skinnyTask, packedTask func(i int)
}

var jobs = sync.Pool{New: func() any {
	j := new(job)
	j.skinnyTask, j.packedTask = j.skinny, j.packed
	return j
}}

// release gives the job back without the caller's data.
func (j *job) release() {
	j.c, j.a, j.b, j.small = target{}, side{}, side{}, nil
	jobs.Put(j)
}

// transpose turns the job into the equal one that computes the transpose of c from the exchanged operands.
func (j *job) transpose() {
	j.a, j.b = j.b, j.a
	j.c.rows, j.c.cols = j.c.cols, j.c.rows
	j.c.rowStep, j.c.colStep = j.c.colStep, j.c.rowStep
}

// side is an operand seen from c: index i runs over the rows of c for the left and the columns of c for the
// right operand, index k over the terms of the sum. Element (i, k) is stored in row i at column k where
// alongK is set and in row k at column i otherwise.
type side struct {
	f32    []float32
	source RowSource
	block  int // values that the source unpacks at a time
	stride int
	alongK bool
}

func newSide(o Operand, alongK bool) side {
	s := side{f32: o.F32, stride: o.Stride, alongK: alongK}
	if o.F32 == nil {
		s.source, s.block = o.Source, blockOf(o.Source)
	}
	return s
}

// segment returns n stored elements of the row from col on: the operand's own, or unpacked to buffer together with
// the rest of the blocks they lie in, if there is room for it.
func (s *side) segment(buffer []float32, row, col, n int) []float32 {
	if s.source == nil {
		return s.f32[row*s.stride+col:][:n]
	}
	first, length := col, n
	if s.block > 1 {
		first = col / s.block * s.block
		length = ceilDiv(col+n-first, s.block) * s.block
		if length > len(buffer) {
			first, length = col, n
		}
	}
	s.source.Row(buffer[:length], row, first)
	return buffer[col-first:][:n]
}

// target is the result, or its transpose, as strided memory.
type target struct {
	data             []float32
	rows, cols       int
	rowStep, colStep int
}

// part returns the block of rows x cols elements from (row, col) on.
func (t target) part(row, col, rows, cols int) target {
	t.data = t.data[row*t.rowStep+col*t.colStep:]
	t.rows, t.cols = rows, cols
	return t
}

// scale multiplies the elements by beta, or clears them unread where beta is 0.
func (t target) scale(beta float32) {
	for r := range t.rows {
		for c := range t.cols {
			p := &t.data[r*t.rowStep+c*t.colStep]
			if beta == 0 {
				*p = 0
			} else {
				*p *= beta
			}
		}
	}
}

// load copies the elements to rows of width values.
func (t target) load(values []float32, width int) {
	for r := range t.rows {
		at := r * t.rowStep
		for c := range t.cols {
			values[r*width+c] = t.data[at]
			at += t.colStep
		}
	}
}

// store writes the elements from rows of width values.
func (t target) store(values []float32, width int) {
	for r := range t.rows {
		at := r * t.rowStep
		for c := range t.cols {
			t.data[at] = values[r*width+c]
			at += t.colStep
		}
	}
}
