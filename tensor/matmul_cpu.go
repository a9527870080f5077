package tensor

import "github.com/gpupeft/gpupeft/tensor/internal/gemm"

func (k *task[T]) matMul(o MatMul) {
	k.multiply(k.shared(), multiplication[T]{
		out: rowsOf(k.floats(o.Out), o.W.Rows()),
		a:   k.matrix(o.X), b: k.matrix(o.W).transposed(), scale: T(factor(o.Scale)), add: o.Add,
	})
}

func (k *task[T]) matMulDX(o MatMulDX) {
	k.multiply(k.shared(), multiplication[T]{
		out: rowsOf(k.floats(o.DX), o.W.Cols()),
		a:   k.matrix(o.DOut), b: k.matrix(o.W), scale: T(factor(o.Scale)), add: o.Add,
	})
}

func (k *task[T]) matMulDW(o MatMulDW) {
	k.multiply(k.shared(), multiplication[T]{
		out: rowsOf(k.floats(o.DW), o.X.Cols()),
		a:   k.matrix(o.DOut).transposed(), b: k.matrix(o.X), scale: T(factor(o.Scale)), add: o.Add,
	})
}

// multiply computes a product.
func (k *task[T]) multiply(each gemm.Parallel, p multiplication[T]) { k.fail(k.gemm(each, p)) }

// shared is the work of a product on all goroutines; see parallel.
func (k *task[T]) shared() gemm.Parallel {
	return gemm.Parallel{Workers: k.workers, Do: func(n int, f func(i int)) {
		k.parallel(n, 1, func(i, _ int) { f(i) })
	}}
}

// alone is the work of a product that one goroutine does.
var alone gemm.Parallel

// multiplication is out = scale·A·B, or with add, out += scale·A·B.
type multiplication[T real] struct {
	out, a, b matrix[T]
	scale     T
	add       bool
}

// inner is the number of terms of each sum.
func (p multiplication[T]) inner() int {
	if p.a.trans {
		return p.a.rows
	}
	return p.a.cols
}

// matrix is a tensor's values, or a part of them, or the transpose of that.
type matrix[T real] struct {
	span[T]
	dtype      DType
	rows, cols int // as stored
	stride     int // distance of stored rows
	trans      bool
}

func (k *task[T]) matrix(t *Tensor) matrix[T] {
	rows, cols := lead(t)
	return matrix[T]{span: spanOf[T](t), dtype: t.DType, rows: rows, cols: cols, stride: cols}
}

// rowsOf is the matrix of F32 values in rows of so many.
func rowsOf[T real](values []T, cols int) matrix[T] {
	return matrix[T]{span: span[T]{values: values}, rows: len(values) / cols, cols: cols, stride: cols}
}

func (m matrix[T]) transposed() matrix[T] {
	m.trans = true
	return m
}

// gemm32 leaves the work to package gemm.
func gemm32(each gemm.Parallel, p multiplication[float32]) error {
	beta := float32(0)
	if p.add {
		beta = 1
	}
	return gemm.Gemm(each, p.out.values, p.out.stride, p.out.rows, p.out.cols, p.inner(), p.scale, beta, operand(p.a), operand(p.b))
}

func operand(m matrix[float32]) gemm.Operand {
	o := gemm.Operand{F32: m.values, Rows: m.rows, Cols: m.cols, Stride: m.stride, Trans: m.trans}
	switch m.dtype {
	case F16:
		o.Source = &gemm.F16Rows{Data: m.halves, Stride: m.stride}
	case BF16:
		o.Source = &gemm.BF16Rows{Data: m.halves, Stride: m.stride}
	}
	if m.quant != nil {
		o.Source = &gemm.QuantRows{Format: m.quant, Data: m.blocks, Cols: m.stride}
	}
	return o
}

// gemm64 is the plain definition, with both factors laid out along the sum.
// Stored weights are widened as a whole: the oracle may take memory.
func gemm64(each gemm.Parallel, p multiplication[float64]) error {
	a, b := lines(p.a, p.a.trans), lines(p.b, !p.b.trans) // [m, k], [n, k]
	n, inner := p.out.cols, p.inner()
	const worthSharing = 1 << 15 // multiplications
	if p.out.rows*n*inner < worthSharing {
		each = alone
	}
	each.Run(p.out.rows, func(r int) {
		row := p.out.values[r*p.out.stride:][:n]
		for c := range row {
			store(&row[c], p.scale*dot64(a[r*inner:][:inner], b[c*inner:][:inner]), p.add)
		}
	})
	return nil
}

// lines returns the values of a matrix as it is stored, or of its transpose, row
// after row.
func lines(m matrix[float64], transpose bool) []float64 {
	values := m.values
	if values == nil {
		values = make([]float64, m.len())
		widen64(m.dtype, values, m.span)
	}
	if !transpose && m.stride == m.cols {
		return values
	}
	packed := make([]float64, 0, m.rows*m.cols)
	if !transpose {
		for r := range m.rows {
			packed = append(packed, values[r*m.stride:][:m.cols]...)
		}
		return packed
	}
	for c := range m.cols {
		for r := range m.rows {
			packed = append(packed, values[r*m.stride+c])
		}
	}
	return packed
}

// store sets a result, or adds to it.
func store[T real](dst *T, v T, add bool) {
	if add {
		v += *dst
	}
	*dst = v
}
