package quant

import (
	"encoding/binary"
	"math"
)

// The blocks of 32 that ggml had first. Nibbles: values 0 to 15 are the low halves of the 16 bytes, 16 to 31 the
// high ones. Fifth bits: bit j of a 32-bit word belongs to value j.
//
//	Q8_0  d f16, q int8[32]                 d·q
//	Q4_0  d f16, nibbles[16]                d·(n−8)
//	Q4_1  d f16, m f16, nibbles[16]         d·n + m
//	Q5_0  d f16, bits u32, nibbles[16]      d·(n−16), n with its fifth bit
//	Q5_1  d f16, m f16, bits u32, nibbles   d·n + m
var (
	Q8_0 = Format{32, 34, unpackQ8_0, packQ8_0}
	Q4_0 = Format{32, 18, unpackQ4_0, packQ4_0}
	Q4_1 = Format{32, 20, unpackQ4_1, nil}
	Q5_0 = Format{32, 22, unpackQ5_0, nil}
	Q5_1 = Format{32, 24, unpackQ5_1, nil}
)

func unpackQ8_0(dst []float32, src []byte) {
	blocks(dst, src, 32, 34, func(v []float32, b []byte) {
		d := f16(b)
		for i := range v {
			v[i] = d * float32(int8(b[2+i]))
		}
	})
}

func unpackQ4_0(dst []float32, src []byte) {
	blocks(dst, src, 32, 18, func(v []float32, b []byte) {
		d := f16(b)
		for i, q := range b[2:] {
			v[i] = d * float32(int(q&15)-8)
			v[i+16] = d * float32(int(q>>4)-8)
		}
	})
}

func unpackQ4_1(dst []float32, src []byte) {
	blocks(dst, src, 32, 20, func(v []float32, b []byte) {
		d, m := f16(b), f16(b[2:])
		for i, q := range b[4:] {
			v[i] = d*float32(q&15) + m
			v[i+16] = d*float32(q>>4) + m
		}
	})
}

func unpackQ5_0(dst []float32, src []byte) {
	blocks(dst, src, 32, 22, func(v []float32, b []byte) {
		d, fifth := f16(b), binary.LittleEndian.Uint32(b[2:])
		for i, q := range b[6:] {
			v[i] = d * float32(int(uint32(q&15)|fifth>>i&1<<4)-16)
			v[i+16] = d * float32(int(uint32(q>>4)|fifth>>(i+16)&1<<4)-16)
		}
	})
}

func unpackQ5_1(dst []float32, src []byte) {
	blocks(dst, src, 32, 24, func(v []float32, b []byte) {
		d, m, fifth := f16(b), f16(b[2:]), binary.LittleEndian.Uint32(b[4:])
		for i, q := range b[8:] {
			v[i] = d*float32(uint32(q&15)|fifth>>i&1<<4) + m
			v[i+16] = d*float32(uint32(q>>4)|fifth>>(i+16)&1<<4) + m
		}
	})
}

func packQ8_0(dst []byte, src []float32) {
	blocks(src, dst, 32, 34, func(v []float32, b []byte) {
		most := float32(0)
		for _, x := range v {
			most = max(most, float32(math.Abs(float64(x))))
		}
		d := most / 127
		putF16(b, d)
		for i, x := range v {
			b[2+i] = 0
			if d > 0 {
				b[2+i] = byte(int8(math.Round(float64(x / d))))
			}
		}
	})
}

func packQ4_0(dst []byte, src []float32) {
	blocks(src, dst, 32, 18, func(v []float32, b []byte) {
		most := v[0] // the value of largest magnitude, with its sign
		for _, x := range v {
			if math.Abs(float64(x)) > math.Abs(float64(most)) {
				most = x
			}
		}
		d := most / -8
		putF16(b, d)
		level := func(x float32) byte {
			if d == 0 {
				return 8
			}
			return byte(min(max(math.Trunc(float64(x/d+8.5)), 0), 15))
		}
		for i := range 16 {
			b[2+i] = level(v[i]) | level(v[i+16])<<4
		}
	})
}
