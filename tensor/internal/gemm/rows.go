package gemm

import (
	"github.com/gpupeft/gpupeft/tensor/internal/half"
	"github.com/gpupeft/gpupeft/tensor/internal/quant"
)

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
func (k *kernels) narrow(source RowSource) (*words, func(int, *[streamed][]uint16, []float32, int, int, []float32, int)) {
	switch rows := source.(type) {
	case *F16Rows:
		return (*words)(rows), k.dotsF16
	case *BF16Rows:
		return (*words)(rows), k.dotsBF16
	}
	return nil, nil
}

// QuantRows is a matrix of quantized rows of Cols elements, whole blocks each.
type QuantRows struct {
	Format *quant.Format
	Data   []byte
	Cols   int
}

// Row implements [RowSource].
func (r *QuantRows) Row(dst []float32, row, col int) {
	f := r.Format
	blocks := r.Data[(row*r.Cols+col)/f.Block*f.Bytes:]
	if skip := col % f.Block; skip > 0 {
		n := r.part(dst, blocks, skip)
		dst, blocks = dst[n:], blocks[f.Bytes:]
	}
	whole := len(dst) / f.Block
	f.Unpack(dst[:whole*f.Block], blocks)
	if rest := dst[whole*f.Block:]; len(rest) > 0 {
		r.part(rest, blocks[whole*f.Bytes:], 0)
	}
}

// blockOf returns how many values a source unpacks at a time.
func blockOf(source RowSource) int {
	if rows, ok := source.(*QuantRows); ok {
		return rows.Format.Block
	}
	return 1
}

// part sets dst to the elements of a block from the one at skip on, as many as there are, and returns how many.
func (r *QuantRows) part(dst []float32, block []byte, skip int) int {
	var buffer [quant.MaxBlock]float32
	values := buffer[:r.Format.Block]
	r.Format.Unpack(values, block)
	return copy(dst, values[skip:])
}
