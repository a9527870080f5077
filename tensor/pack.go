package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/tensor/internal/half"
	"github.com/gpupeft/gpupeft/tensor/internal/quant"
)

// Unpack converts stored float values, given as little-endian bytes, to float32
// and appends them to dst. Bytes beyond the last whole value, or whole block of a
// quantized type, are left out. An I32 or unknown type gives nothing.
func Unpack(dst []float32, dt DType, data []byte) []float32 {
	if q := dt.quant(); q != nil {
		at, n := len(dst), len(data)/q.Bytes*q.Block
		dst = slices.Grow(dst, n)[:at+n]
		q.Unpack(dst[at:], data)
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

// Pack is the inverse of [Unpack]: it converts values to stored ones of a float
// type, as little-endian bytes, and appends them to dst. F16 and BF16 round to
// the nearest value, ties to even. Quantized types lose more: Q8_0 to Q5_1 give
// the bytes that gguf-py gives, NF4 and FP4 those of bitsandbytes, each block
// with its scale in front; Q4_K, Q5_K and Q6_K search for good scales and take
// some 100 ns a value.
//
// Values beyond the last whole block, len(values) % dt.Block(), are left out. An
// I32 or unknown type gives nothing. Infinities and NaN spoil their block.
func Pack(dst []byte, dt DType, values []float32) []byte {
	if q := dt.quant(); q != nil {
		at, n := len(dst), len(values)/q.Block*q.Bytes
		dst = slices.Grow(dst, n)[:at+n]
		q.Pack(dst[at:], values)
		return dst
	}
	switch dt {
	case F32:
		at := len(dst)
		dst = slices.Grow(dst, 4*len(values))[:at+4*len(values)]
		packFloats(dst[at:], values)
	case F16:
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint16(dst, half.ToF16(v))
		}
	case BF16:
		for _, v := range values {
			dst = binary.LittleEndian.AppendUint16(dst, half.ToBF16(v))
		}
	}
	return dst
}

// packFloats writes little-endian bytes, four values at a time where there are as many.
func packFloats(dst []byte, values []float32) {
	for len(values) >= 4 && len(dst) >= 16 {
		binary.LittleEndian.PutUint32(dst[:4], math.Float32bits(values[0]))
		binary.LittleEndian.PutUint32(dst[4:8], math.Float32bits(values[1]))
		binary.LittleEndian.PutUint32(dst[8:12], math.Float32bits(values[2]))
		binary.LittleEndian.PutUint32(dst[12:16], math.Float32bits(values[3]))
		dst, values = dst[16:], values[4:]
	}
	for i, v := range values {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

// NestedScales returns the scales of NF4 or FP4 blocks that bitsandbytes' double
// quantization stored as indices, one for each block of 64 values:
//
//	code[indices[i]]·scales[i/block] + offset
//
// code is the file's nested_quant_map, 256 values; scales its nested_absmax, one
// for each started block of indices. Errors wrap ErrFormat: lengths that don't
// fit together.
func NestedScales(indices []byte, code, scales []float32, block int, offset float32) ([]float32, error) {
	if block < 1 || len(code) != 256 || len(scales) != len(indices)/block+min(len(indices)%block, 1) {
		return nil, fmt.Errorf("%d nested scales in blocks of %d with %d values and %d scales of their own: %w",
			len(indices), block, len(code), len(scales), ErrFormat)
	}
	dst := make([]float32, len(indices))
	quant.NestedScales(dst, indices, code, scales, block, offset)
	return dst, nil
}
