package tensor

import (
	"encoding/binary"
	"math"

	"github.com/gpupeft/gpupeft/tensor/internal/half"
)

// Pack is the inverse of Unpack: it stores values in another float type, as
// little-endian bytes, and appends them to dst. Of the quantized types it takes
// whole blocks only.
func Pack(dst []byte, dt DType, values []float32) []byte {
	if q := dt.quant(); q != nil {
		n := len(values) / q.Block
		at := len(dst)
		dst = append(dst, make([]byte, n*q.Bytes)...)
		q.Pack(dst[at:], values[:n*q.Block])
		return dst
	}
	for _, v := range values {
		switch dt {
		case F32:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
		case F16:
			dst = binary.LittleEndian.AppendUint16(dst, half.ToF16(v))
		case BF16:
			dst = binary.LittleEndian.AppendUint16(dst, half.ToBF16(v))
		}
	}
	return dst
}
