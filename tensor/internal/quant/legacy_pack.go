package quant

import (
	"encoding/binary"
	"math"
)

// The encoders of the blocks of 32 give the very bytes that gguf-py gives: levels are computed with the reciprocal
// of the scale in float32, before it is rounded to binary16.

func packQ8_0(b []byte, v []float32) {
	d := magnitude(largest(v)) / 127
	inverse := reciprocal(d)
	putF16(b, d)
	for i, x := range v {
		level := math.Round(float64(x * inverse)) // halves away from zero
		b[2+i] = byte(int8(min(max(level, -128), 127)))
	}
}

func packQ4_0(b []byte, v []float32) {
	d := largest(v) / -8
	putF16(b, d)
	packNibbles(b[2:], nil, v, 0, reciprocal(d), 8.5, 15)
}

func packQ4_1(b []byte, v []float32) {
	low, high := extent(v)
	d := (high - low) / 15
	putF16(b, d)
	putF16(b[2:], low)
	packNibbles(b[4:], nil, v, low, reciprocal(d), 0.5, 15)
}

func packQ5_0(b []byte, v []float32) {
	d := largest(v) / -16
	putF16(b, d)
	packNibbles(b[6:], b[2:6], v, 0, reciprocal(d), 16.5, 31)
}

func packQ5_1(b []byte, v []float32) {
	low, high := extent(v)
	d := (high - low) / 31
	putF16(b, d)
	putF16(b[2:], low)
	packNibbles(b[8:], b[4:8], v, low, reciprocal(d), 0.5, 31)
}

// packNibbles stores the levels ⌊(x − low)·inverse + offset⌋ of 32 values, at most top, as nibbles, and their fifth
// bits in fifth where it isn't nil.
func packNibbles(nibbles, fifth []byte, v []float32, low, inverse, offset, top float32) {
	level := func(x float32) uint32 {
		scaled := float32((x - low) * inverse) // rounded before the sum
		return uint32(min(max(scaled+offset, 0), top))
	}
	bits := uint32(0)
	for i := range 16 {
		first, second := level(v[i]), level(v[i+16])
		nibbles[i] = byte(first&15 | second<<4)
		bits |= first>>4<<i | second>>4<<(i+16)
	}
	if fifth != nil {
		binary.LittleEndian.PutUint32(fifth, bits)
	}
}

// largest returns the first of the values of largest magnitude, with its sign.
func largest(v []float32) float32 {
	most := v[0]
	for _, x := range v[1:] {
		if magnitude(x) > magnitude(most) {
			most = x
		}
	}
	return most
}

// extent returns the smallest and the largest value.
func extent(v []float32) (low, high float32) {
	low, high = v[0], v[0]
	for _, x := range v[1:] {
		low, high = min(low, x), max(high, x)
	}
	return low, high
}

func magnitude(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// reciprocal returns 1/d, or 0 where that is no number.
func reciprocal(d float32) float32 {
	inverse := 1 / d
	if math.IsInf(float64(inverse), 0) {
		return 0
	}
	return inverse
}
