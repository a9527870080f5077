package gemm

import "github.com/gpupeft/gpupeft/tensor/internal/half"

// F16Rows is a matrix of IEEE binary16 bits whose rows are Stride elements apart.
type F16Rows struct {
	Data   []uint16
	Stride int
}

// Row implements [RowSource].
func (r *F16Rows) Row(dst []float32, row, col int) {
	half.F16ToF32(dst, r.Data[row*r.Stride+col:][:len(dst)])
}

// BF16Rows is a matrix of bfloat16 bits whose rows are Stride elements apart.
type BF16Rows struct {
	Data   []uint16
	Stride int
}

// Row implements [RowSource].
func (r *BF16Rows) Row(dst []float32, row, col int) {
	half.BF16ToF32(dst, r.Data[row*r.Stride+col:][:len(dst)])
}

// words are the rows of either format.
type words struct {
	Data   []uint16
	Stride int
}

// narrow returns the rows of a source of 16-bit values and the kernel that multiplies them as they are, or nil.
func (k *kernels) narrow(source RowSource) (*words, func(int, *[streamed][]uint16, []float32, int, int, []float32)) {
	switch rows := source.(type) {
	case *F16Rows:
		return (*words)(rows), k.dotsF16
	case *BF16Rows:
		return (*words)(rows), k.dotsBF16
	}
	return nil, nil
}
