package gemm

import (
	"errors"
	"fmt"
)

// ErrShape is the error of operands whose dimensions, strides or lengths don't fit together.
var ErrShape = errors.New("matrix shapes do not fit")

// Operand is a stored matrix of Rows x Cols elements in rows, from F32 or, where that is nil, from Source.
type Operand struct {
	F32    []float32 // element (r, c) at r*Stride + c
	Source RowSource // nil where F32 is set
	Rows   int
	Cols   int
	Stride int  // distance of F32's rows, at least Cols; 0 means Cols
	Trans  bool // the product uses the transpose
}

// RowSource gives stored weights as float32.
type RowSource interface {
	// Row sets dst to the elements [col, col+len(dst)) of the row. It is called from several goroutines at once.
	Row(dst []float32, row, col int)
}

// Parallel is how work is shared. The zero value shares nothing.
type Parallel struct {
	Workers int // how many goroutines Do uses, for a choice of the size of tasks; it changes no result
	// Do calls f(0) to f(n-1) on any number of goroutines, none before one of a smaller number, and returns after the
	// last has returned.
	Do func(n int, f func(i int))
}

// workers returns the number of goroutines, at least 1.
func (p Parallel) workers() int {
	if p.Do == nil {
		return 1
	}
	return max(1, p.Workers)
}

// Gemm sets the m x n matrix c, whose rows are ldc elements apart, to alpha*op(A)*op(B) + beta*c, where op(A)
// is m x k and op(B) is k x n. With beta 0 the old contents of c are not read; with alpha 0 those of a and b
// are not. c must not overlap a or b. Shapes that don't fit give an error that wraps [ErrShape] and leave c
// as it was.
func Gemm(par Parallel, c []float32, ldc, m, n, k int, alpha, beta float32, a, b Operand) error {
	return run(native, par, c, ldc, m, n, k, alpha, beta, a, b)
}

// run is Gemm with a choice of kernels.
func run(kern *kernels, par Parallel, c []float32, ldc, m, n, k int, alpha, beta float32, a, b Operand) error {
	if err := check(c, ldc, m, n, k, &a, &b); err != nil {
		return err
	}
	if m == 0 || n == 0 {
		return nil
	}
	j := jobs.Get().(*job)
	j.kernels = kern
	j.c = target{data: c, rows: m, cols: n, rowStep: ldc, colStep: 1}
	j.a, j.b = newSide(a, !a.Trans), newSide(b, b.Trans)
	j.k, j.alpha, j.beta = k, alpha, beta

	switch {
	case k == 0 || alpha == 0:
		j.c.scale(beta)
	case min(m, n) <= maxSkinny && j.orientSkinny():
		j.prepareSkinny()
		par.Run(j.skinnyTasks(), j.skinnyTask)
	default:
		j.multiplyPacked(par)
	}
	j.release()
	return nil
}

// Run does so many tasks; a single one needs no other goroutine.
func (p Parallel) Run(tasks int, f func(i int)) {
	if p.Do != nil && tasks > 1 {
		p.Do(tasks, f)
		return
	}
	for i := range tasks {
		f(i)
	}
}

// check compares the dimensions and fills in default strides.
func check(c []float32, ldc, m, n, k int, a, b *Operand) error {
	if m < 0 || n < 0 || k < 0 {
		return fmt.Errorf("%w: negative dimension in %d x %d x %d", ErrShape, m, n, k)
	}
	if ldc < n || m > 0 && len(c) < (m-1)*ldc+n {
		return fmt.Errorf("%w: %d x %d result with rows %d apart in %d elements", ErrShape, m, n, ldc, len(c))
	}
	if err := a.check("left", m, k); err != nil {
		return err
	}
	return b.check("right", k, n)
}

// check tells whether op(o) is rows x cols and within its data.
func (o *Operand) check(which string, rows, cols int) error {
	if o.Trans {
		rows, cols = cols, rows
	}
	if o.Rows != rows || o.Cols != cols {
		return fmt.Errorf("%w: the %s operand is stored as %d x %d, want %d x %d",
			ErrShape, which, o.Rows, o.Cols, rows, cols)
	}
	if o.Stride == 0 {
		o.Stride = o.Cols
	}
	if o.F32 == nil && o.Source != nil || rows == 0 || cols == 0 {
		return nil
	}
	if o.Stride < cols || len(o.F32) < (rows-1)*o.Stride+cols {
		return fmt.Errorf("%w: the %s operand is %d x %d with rows %d apart in %d elements",
			ErrShape, which, rows, cols, o.Stride, len(o.F32))
	}
	return nil
}
