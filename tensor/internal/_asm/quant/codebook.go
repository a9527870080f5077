package main

import (
	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// codebook emits the unpacker of NF4 and FP4.
func codebook() {
	unpack("unpackCodeAVX2", "code *float32, ",
		"unpackCodeAVX2 unpacks blocks of indices into a codebook of 16 values, at least one.", 64, 36, func(u *unpacker) func() {
			code := emit.Argument("code")
			lower, upper, mask := YMM(), YMM(), bytesOf(15)
			VMOVUPS(Mem{Base: code}, lower)
			VMOVUPS(Mem{Base: code, Disp: emit.Width}, upper)
			return func() {
				absmax := YMM()
				VBROADCASTSS(u.at(0), absmax)
				for half := range 2 {
					first, second := XMM(), XMM()
					VMOVDQU(u.at(4+16*half), second)
					VPSRLW(Imm(4), second, first)
					VPAND(mask.AsX(), first, first)
					VPAND(mask.AsX(), second, second)
					for part, interleave := range []func(...Op){VPUNPCKLBW, VPUNPCKHBW} {
						indices := XMM()
						interleave(second, first, indices)
						u.lookUp(indices, lower, upper, absmax, 32*half+16*part)
					}
				}
			}
		})
}

// lookUp stores the values of 16 indices, times absmax.
func (u *unpacker) lookUp(indices, lower, upper, absmax VecVirtual, i int) {
	rest := XMM()
	VPSRLDQ(Imm(8), indices, rest)
	for part, source := range []VecVirtual{indices, rest} {
		index, fourth, low, high := YMM(), YMM(), YMM(), YMM()
		VPMOVZXBD(source, index)
		VPERMPS(lower, index, low) // by the index's lowest three bits
		VPERMPS(upper, index, high)
		VPSLLD(Imm(28), index, fourth)
		VBLENDVPS(fourth, high, low, low)
		VMULPS(absmax, low, low)
		VMOVUPS(low, u.value(i+part*emit.Lanes))
	}
}
