package tensor

import (
	"encoding/binary"
	"math"

	"github.com/gpupeft/gpupeft/tensor/internal/half"
)

// Unpack converts stored float values, given as little-endian bytes, to float32
// and appends them to dst. Quantized types are stored in whole blocks. An I32 or unknown type gives nothing.
func Unpack(dst []float32, dt DType, data []byte) []float32 {
	if q := dt.quant(); q != nil {
		n := len(data) / q.Bytes
		at := len(dst)
		dst = append(dst, make([]float32, n*q.Block)...)
		q.Unpack(dst[at:], data[:n*q.Bytes])
		return dst
	}
	switch dt {
	case F32:
		for ; len(data) >= 4; data = data[4:] {
			dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(data)))
		}
	case F16:
		for ; len(data) >= 2; data = data[2:] {
			dst = append(dst, half.FromF16(binary.LittleEndian.Uint16(data)))
		}
	case BF16:
		for ; len(data) >= 2; data = data[2:] {
			dst = append(dst, half.FromBF16(binary.LittleEndian.Uint16(data)))
		}
	}
	return dst
}
