package quant

import (
	"encoding/binary"
	"math"
)

// The 4-bit types of bitsandbytes: 64 indices into a codebook, times the block's largest magnitude.
//
//	NF4, FP4  absmax f32, indices[32], the first of a pair in the high nibble   code[i]·absmax
//
// NF4 is the NormalFloat of QLoRA (arXiv 2305.14314, appendix E).
var (
	NF4 = Format{64, 36, func(dst []float32, src []byte) { unpackCode(&NF4Code, dst, src) }, nil}
	FP4 = Format{64, 36, func(dst []float32, src []byte) { unpackCode(&FP4Code, dst, src) }, nil}
)

// NF4Code holds the values of the sixteen indices.
var NF4Code = [16]float32{
	-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
	-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
}

// FP4Code holds the values of the sixteen indices: sign, two bits of exponent, one of mantissa.
var FP4Code = [16]float32{
	0, 0.005208333333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25,
	0, -0.005208333333, -0.66666667, -1, -0.33333333, -0.5, -0.16666667, -0.25,
}

func unpackCode(code *[16]float32, dst []float32, src []byte) {
	blocks(dst, src, 64, 36, func(v []float32, b []byte) {
		absmax := math.Float32frombits(binary.LittleEndian.Uint32(b))
		for i, q := range b[4:] {
			v[2*i] = code[q>>4] * absmax
			v[2*i+1] = code[q&15] * absmax
		}
	})
}
