package half

import "math"

const (
	signF32     = 1 << 31
	infinityF32 = 0xff << 23
	quietF32    = 1 << 22

	signF16     = 1 << 15
	infinityF16 = 0x1f << 10
	quietF16    = 1 << 9

	// rebias is the difference of the exponent biases of float32 and f16, 127 and 15.
	rebias = 127 - 15
	// mantissaDrop is the number of mantissa bits float32 has and f16 lacks.
	mantissaDrop = 23 - 10
)

// FromF16 returns the value of the f16 with bits h.
func FromF16(h uint16) float32 {
	sign := uint32(h&signF16) << 16
	magnitude := uint32(h &^ signF16)
	switch {
	case magnitude > infinityF16: // NaN
		return math.Float32frombits(sign | infinityF32 | quietF32 | (magnitude&0x3ff)<<mantissaDrop)
	case magnitude == infinityF16:
		return math.Float32frombits(sign | infinityF32)
	case magnitude < 1<<10: // zero or subnormal: a multiple of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(magnitude)*0x1p-24))
	default:
		return math.Float32frombits(sign | (magnitude<<mantissaDrop + rebias<<23))
	}
}

// ToF16 returns the bits of the f16 nearest to f, ties to even.
func ToF16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & signF16
	magnitude := bits &^ signF32
	switch {
	case magnitude > infinityF32: // NaN
		return sign | infinityF16 | quietF16 | uint16(magnitude>>mantissaDrop)&0x3ff
	case magnitude >= math.Float32bits(65520): // halfway from the largest f16 to the next power of two
		return sign | infinityF16
	case magnitude < math.Float32bits(0x1p-14): // zero or subnormal
		// Next to 0.5 float32 values are 2^-24 apart, as f16 subnormals are: the sum rounds to them.
		sum := math.Float32frombits(magnitude) + 0.5
		return sign | uint16(math.Float32bits(sum)-math.Float32bits(0.5))
	default:
		const almostHalf = 1<<(mantissaDrop-1) - 1
		rounded := magnitude + almostHalf + magnitude>>mantissaDrop&1
		return sign | uint16(rounded>>mantissaDrop-rebias<<10)
	}
}

// FromBF16 returns the value of the bf16 with bits h.
func FromBF16(h uint16) float32 {
	return math.Float32frombits(uint32(h) << 16)
}

// ToBF16 returns the bits of the bf16 nearest to f, ties to even.
func ToBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&^signF32 > infinityF32 { // NaN
		return uint16((bits | quietF32) >> 16)
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
