package quant

import (
	"encoding/binary"

	"github.com/gpupeft/gpupeft/tensor/internal/half"
)

// MaxBlock is the largest block of any format.
const MaxBlock = 256

// Format is one way to store blocks of values. The formats are the variables of this package.
type Format struct {
	Block int // values in a block
	Bytes int // bytes of a block

	kind kind
}

// kind tells the formats apart. Functions in the Format's place would make the buffers of callers escape to the heap.
type kind uint8

const (
	kindQ8_0 kind = iota
	kindQ4_0
	kindQ4_1
	kindQ5_0
	kindQ5_1
	kindQ4_K
	kindQ5_K
	kindQ6_K
	kindNF4
	kindFP4
)

// The formats: blocks of so many values in so many bytes.
var (
	Q8_0 = Format{32, 34, kindQ8_0}
	Q4_0 = Format{32, 18, kindQ4_0}
	Q4_1 = Format{32, 20, kindQ4_1}
	Q5_0 = Format{32, 22, kindQ5_0}
	Q5_1 = Format{32, 24, kindQ5_1}
	Q4_K = Format{256, 144, kindQ4_K}
	Q5_K = Format{256, 176, kindQ5_K}
	Q6_K = Format{256, 210, kindQ6_K}
	NF4  = Format{64, 36, kindNF4}
	FP4  = Format{64, 36, kindFP4}
)

// Unpack sets dst to the values of the blocks in src: as many whole blocks as both have. It allocates nothing.
func (f *Format) Unpack(dst []float32, src []byte) {
	n := min(len(dst)/f.Block, len(src)/f.Bytes)
	if n == 0 || f.unpackVector(dst, src, n) {
		return
	}
	for i := range n {
		f.unpackBlock(dst[i*f.Block:][:f.Block], src[i*f.Bytes:][:f.Bytes])
	}
}

// unpackBlock is the definition of the formats in portable code.
func (f *Format) unpackBlock(v []float32, b []byte) {
	switch f.kind {
	case kindQ8_0:
		unpackQ8_0(v, b)
	case kindQ4_0:
		unpackQ4_0(v, b)
	case kindQ4_1:
		unpackQ4_1(v, b)
	case kindQ5_0:
		unpackQ5_0(v, b)
	case kindQ5_1:
		unpackQ5_1(v, b)
	case kindQ4_K:
		unpackQ4_K(v, b)
	case kindQ5_K:
		unpackQ5_K(v, b)
	case kindQ6_K:
		unpackQ6_K(v, b)
	case kindNF4:
		unpackCode(&nf4.code, v, b)
	case kindFP4:
		unpackCode(&fp4.code, v, b)
	}
}

// Pack stores values from src in dst: as many whole blocks as both have. Values that aren't numbers make blocks of
// undefined contents; numbers beyond the range of a format's scales become infinities or NaN.
func (f *Format) Pack(dst []byte, src []float32) {
	for i := range min(len(src)/f.Block, len(dst)/f.Bytes) {
		f.packBlock(dst[i*f.Bytes:][:f.Bytes], src[i*f.Block:][:f.Block])
	}
}

func (f *Format) packBlock(b []byte, v []float32) {
	switch f.kind {
	case kindQ8_0:
		packQ8_0(b, v)
	case kindQ4_0:
		packQ4_0(b, v)
	case kindQ4_1:
		packQ4_1(b, v)
	case kindQ5_0:
		packQ5_0(b, v)
	case kindQ5_1:
		packQ5_1(b, v)
	case kindQ4_K:
		packQ4_K(b, v)
	case kindQ5_K:
		packQ5_K(b, v)
	case kindQ6_K:
		packQ6_K(b, v)
	case kindNF4:
		nf4.pack(b, v)
	case kindFP4:
		fp4.pack(b, v)
	}
}

// f16 reads a binary16 number.
func f16(src []byte) float32 { return half.FromF16(binary.LittleEndian.Uint16(src)) }

// putF16 writes a number as binary16 and returns what was written.
func putF16(dst []byte, v float32) float32 {
	binary.LittleEndian.PutUint16(dst, half.ToF16(v))
	return f16(dst)
}
