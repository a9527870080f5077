package quant

import (
	"encoding/binary"

	"github.com/gpupeft/gpupeft/tensor/internal/half"
)

// MaxBlock is the largest block of any format.
const MaxBlock = 256

// Format is one way to store blocks of values.
type Format struct {
	Block int // values in a block
	Bytes int // bytes of a block

	// Unpack sets dst, a whole number of blocks, to the values stored in src.
	Unpack func(dst []float32, src []byte)
	// Pack stores src, a whole number of blocks, in dst.
	Pack func(dst []byte, src []float32)
}

// f16 reads a binary16 number.
func f16(src []byte) float32 { return half.FromF16(binary.LittleEndian.Uint16(src)) }

// putF16 writes a number as binary16.
func putF16(dst []byte, v float32) { binary.LittleEndian.PutUint16(dst, half.ToF16(v)) }

// blocks calls f for each block of values and its bytes.
func blocks(values []float32, data []byte, block, bytes int, f func(values []float32, data []byte)) {
	for len(values) >= block {
		f(values[:block], data[:bytes])
		values, data = values[block:], data[bytes:]
	}
}
