package quant

import "encoding/binary"

// The blocks of 32 that ggml had first. Nibbles: values 0 to 15 are the low halves of the 16 bytes, 16 to 31 the
// high ones. Fifth bits: bit j of a 32-bit word belongs to value j.
//
//	Q8_0  d f16, q int8[32]                 d·q
//	Q4_0  d f16, nibbles[16]                d·(n−8)
//	Q4_1  d f16, m f16, nibbles[16]         d·n + m
//	Q5_0  d f16, bits u32, nibbles[16]      d·(n−16), n with its fifth bit
//	Q5_1  d f16, m f16, bits u32, nibbles   d·n + m
//
// The products of a binary16 number and a small integer are exact in float32, so that the sums are the same
// whether the compiler fuses them or not.

func unpackQ8_0(v []float32, b []byte) {
	d := f16(b)
	for i, q := range b[2:34] {
		v[i] = d * float32(int8(q))
	}
}

func unpackQ4_0(v []float32, b []byte) {
	d := f16(b)
	for i, q := range b[2:18] {
		v[i] = d * float32(int(q&15)-8)
		v[i+16] = d * float32(int(q>>4)-8)
	}
}

func unpackQ4_1(v []float32, b []byte) {
	d, m := f16(b), f16(b[2:])
	for i, q := range b[4:20] {
		v[i] = d*float32(q&15) + m
		v[i+16] = d*float32(q>>4) + m
	}
}

func unpackQ5_0(v []float32, b []byte) {
	d, fifth := f16(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		v[i] = d * float32(int(uint32(q&15)|fifth>>i&1<<4)-16)
		v[i+16] = d * float32(int(uint32(q>>4)|fifth>>(i+16)&1<<4)-16)
	}
}

func unpackQ5_1(v []float32, b []byte) {
	d, m, fifth := f16(b), f16(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		v[i] = d*float32(uint32(q&15)|fifth>>i&1<<4) + m
		v[i+16] = d*float32(uint32(q>>4)|fifth>>(i+16)&1<<4) + m
	}
}
