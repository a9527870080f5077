//go:build !purego

package half

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasF16C

// vectorLength returns how many of n elements the assembly loops convert: whole registers of eight.
func vectorLength(n int) int {
	if !hasAVX2 {
		return 0
	}
	return n &^ 7
}

// The functions below convert the leading elements of src, as many as suit the assembly, and return how many.

func f16ToF32Vector(dst []float32, src []uint16) int {
	n := vectorLength(len(dst))
	if n > 0 {
		f16ToF32(&dst[0], &src[0], n)
	}
	return n
}

func f32ToF16Vector(dst []uint16, src []float32) int {
	n := vectorLength(len(dst))
	if n > 0 {
		f32ToF16(&dst[0], &src[0], n)
	}
	return n
}

func bf16ToF32Vector(dst []float32, src []uint16) int {
	n := vectorLength(len(dst))
	if n > 0 {
		bf16ToF32(&dst[0], &src[0], n)
	}
	return n
}

func f32ToBF16Vector(dst []uint16, src []float32) int {
	n := vectorLength(len(dst))
	if n > 0 {
		f32ToBF16(&dst[0], &src[0], n)
	}
	return n
}
