package quant

import (
	"encoding/binary"
	"math"
)

// The 4-bit types of bitsandbytes: 64 indices into a codebook, times the block's largest magnitude.
//
//	NF4, FP4  absmax f32, indices[32], the first of a pair in the high nibble   code[i]·absmax
//
// NF4 is the NormalFloat of QLoRA (arXiv 2305.14314, appendix E); FP4 has a sign, two bits of exponent and one of
// mantissa.
var (
	nf4 = newCodebook([16]float32{
		-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
		-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
		0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
		0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
	}, [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	fp4 = newCodebook([16]float32{
		0, 0.005208333333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25,
		0, -0.005208333333, -0.66666667, -1, -0.33333333, -0.5, -0.16666667, -0.25,
	}, [16]byte{11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3})
)

// codebook gives sixteen indices their values.
type codebook struct {
	code   [16]float32
	order  [16]byte    // the indices by value
	bounds [15]float32 // halfway between values that follow each other
}

func newCodebook(code [16]float32, order [16]byte) codebook {
	c := codebook{code: code, order: order}
	for i := range c.bounds {
		c.bounds[i] = (code[order[i]] + code[order[i+1]]) / 2
	}
	return c
}

func unpackCode(code *[16]float32, v []float32, b []byte) {
	absmax := math.Float32frombits(binary.LittleEndian.Uint32(b))
	for i, q := range b[4:36] {
		v[2*i] = code[q>>4] * absmax
		v[2*i+1] = code[q&15] * absmax
	}
}

// pack stores what bitsandbytes stores, byte for byte.
func (c *codebook) pack(b []byte, v []float32) {
	absmax := magnitude(largest(v))
	binary.LittleEndian.PutUint32(b, math.Float32bits(absmax))
	inverse := 1 / max(absmax, 1e-38)
	for i := range b[4:36] {
		b[4+i] = c.index(v[2*i]*inverse)<<4 | c.index(v[2*i+1]*inverse)
	}
}

// index returns the index of the value nearest to x, the lower of two.
func (c *codebook) index(x float32) byte {
	below := 0
	for _, bound := range c.bounds {
		if bound < x {
			below++
		}
	}
	return c.order[below]
}

// NestedScales sets dst to the scales that bitsandbytes' double quantization stored as indices into a codebook:
// dst[i] = code[indices[i]]·scales[i/block] + offset. scales has one value for each block of indices, code 256; dst
// and indices are equally long.
func NestedScales(dst []float32, indices []byte, code, scales []float32, block int, offset float32) {
	for i, index := range indices {
		scaled := float32(code[index] * scales[i/block]) // rounded before the sum
		dst[i] = scaled + offset
	}
}
