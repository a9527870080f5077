package tensor

import "github.com/gpupeft/gpupeft/tensor/internal/gemm"

func (k *task[T]) matMul(o MatMul) error {
	n, i := lead(o.X)
	return k.multiply(k.each, multiplication[T]{
		out: k.floats(o.Out), m: n, n: o.W.Rows(), k: i, scale: T(factor(o.Scale)), add: o.Add,
		a: k.matrix(o.X), b: k.matrix(o.W).transposed(),
	})
}

func (k *task[T]) matMulDX(o MatMulDX) error {
	n, outs := lead(o.DOut)
	return k.multiply(k.each, multiplication[T]{
		out: k.floats(o.DX), m: n, n: o.W.Cols(), k: outs, scale: T(factor(o.Scale)), add: o.Add,
		a: k.matrix(o.DOut), b: k.matrix(o.W),
	})
}

func (k *task[T]) matMulDW(o MatMulDW) error {
	n, outs := lead(o.DOut)
	return k.multiply(k.each, multiplication[T]{
		out: k.floats(o.DW), m: outs, n: o.X.Cols(), k: n, scale: T(factor(o.Scale)), add: o.Add,
		a: k.matrix(o.DOut).transposed(), b: k.matrix(o.X),
	})
}

// each calls f(0) to f(n-1) on several goroutines; see parallel.
func (k *task[T]) each(n int, f func(i int)) { k.parallel(n, 1, func(i, _ int) { f(i) }) }

// multiplication is out = scale·A·B, or with add, out += scale·A·B.
type multiplication[T real] struct {
	out     []T // [m, n]
	m, n, k int
	scale   T
	add     bool
	a, b    matrix[T] // [m, k], [k, n]
}

// matrix is a factor as it is stored, or its transpose.
type matrix[T real] struct {
	span[T]
	dtype      DType
	rows, cols int // as stored
	trans      bool
}

func (k *task[T]) matrix(t *Tensor) matrix[T] {
	rows, cols := lead(t)
	return matrix[T]{span: spanOf[T](t), dtype: t.DType, rows: rows, cols: cols}
}

func (m matrix[T]) transposed() matrix[T] {
	m.trans = true
	return m
}

// multiply32 leaves the work to package gemm.
func multiply32(each gemm.Parallel, p multiplication[float32]) error {
	beta := float32(0)
	if p.add {
		beta = 1
	}
	return gemm.Gemm(each, p.out, p.n, p.m, p.n, p.k, p.scale, beta, operand(p.a), operand(p.b))
}

func operand(m matrix[float32]) gemm.Operand {
	o := gemm.Operand{F32: m.values, Rows: m.rows, Cols: m.cols, Trans: m.trans}
	switch m.dtype {
	case F16:
		o.Source = &gemm.F16Rows{Data: m.halves, Stride: m.cols}
	case BF16:
		o.Source = &gemm.BF16Rows{Data: m.halves, Stride: m.cols}
	}
	return o
}

// multiply64 is the plain definition. Stored weights are widened as a whole: the
// oracle may take memory, and time.
func multiply64(each gemm.Parallel, p multiplication[float64]) error {
	at := func(m matrix[float64]) func(r, c int) float64 {
		values := m.values
		if values == nil {
			values = make([]float64, len(m.halves))
			widen64(m.dtype, values, m.halves)
		}
		if m.trans {
			return func(r, c int) float64 { return values[c*m.cols+r] }
		}
		return func(r, c int) float64 { return values[r*m.cols+c] }
	}
	a, b := at(p.a), at(p.b)
	each(p.m, func(r int) {
		for c := range p.n {
			var sum float64
			for i := range p.k {
				sum += a(r, i) * b(i, c)
			}
			store(&p.out[r*p.n+c], p.scale*sum, p.add)
		}
	})
	return nil
}

// store sets a result, or adds to it.
func store[T real](dst *T, v T, add bool) {
	if add {
		v += *dst
	}
	*dst = v
}
