//go:build !purego

package quant

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2 && cpu.X86.HasF16C

// unpackVector unpacks n blocks, at least one, and says whether it could.
func (f *Format) unpackVector(values []float32, blocks []byte, n int) bool {
	if !hasAVX2 {
		return false
	}
	dst, src := &values[0], &blocks[0]
	switch f.kind {
	case kindQ8_0:
		unpackQ8_0AVX2(dst, src, n)
	case kindQ4_0:
		unpackQ4_0AVX2(dst, src, n)
	case kindQ4_1:
		unpackQ4_1AVX2(dst, src, n)
	case kindQ5_0:
		unpackQ5_0AVX2(dst, src, n)
	case kindQ5_1:
		unpackQ5_1AVX2(dst, src, n)
	case kindQ4_K:
		unpackQ4_KAVX2(dst, src, n)
	case kindQ5_K:
		unpackQ5_KAVX2(dst, src, n)
	case kindQ6_K:
		unpackQ6_KAVX2(dst, src, n)
	case kindNF4:
		unpackCodeAVX2(dst, src, &nf4.code[0], n)
	case kindFP4:
		unpackCodeAVX2(dst, src, &fp4.code[0], n)
	}
	return true
}
