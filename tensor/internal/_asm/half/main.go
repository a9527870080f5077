// Command half generates the AVX2/F16C conversions of package half.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	lanes  = 8 // float32 values of a YMM register
	unroll = 4 // registers per round; short code lets the processor look further ahead for loads
)

// conversion emits the code that converts eight elements.
type conversion func(dst, src Mem)

// convert emits loops over n elements, a multiple of lanes. setup emits the code that comes before the
// loops and returns that of their bodies.
func convert(name, signature, doc string, dstSize, srcSize int, setup func() conversion) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
	dst := Load(Param("dst"), GP64())
	src := Load(Param("src"), GP64())
	n := Load(Param("n"), GP64())
	body := setup()

	loop := func(label, exit string, registers int) {
		Label(label)
		CMPQ(n, Imm(uint64(registers*lanes)))
		JL(LabelRef(exit))
		for i := range registers {
			body(Mem{Base: dst, Disp: i * lanes * dstSize}, Mem{Base: src, Disp: i * lanes * srcSize})
		}
		ADDQ(U32(uint32(registers*lanes*dstSize)), dst)
		ADDQ(U32(uint32(registers*lanes*srcSize)), src)
		SUBQ(Imm(uint64(registers*lanes)), n)
		JMP(LabelRef(label))
	}
	loop("wide", "narrow", unroll)
	loop("narrow", "done", 1)
	Label("done")
	VZEROUPPER()
	RET()
}

// broadcast returns a register with value in all eight 32-bit lanes.
func broadcast(value uint32) VecVirtual {
	general, vector := GP32(), YMM()
	MOVL(U32(value), general)
	VMOVD(general, vector.AsX())
	VPBROADCASTD(vector.AsX(), vector)
	return vector
}

func f16ToF32() conversion {
	return func(dst, src Mem) {
		x := YMM()
		VCVTPH2PS(src, x)
		VMOVUPS(x, dst)
	}
}

func f32ToF16() conversion {
	return func(dst, src Mem) {
		x := YMM()
		VMOVUPS(src, x)
		VCVTPS2PH(Imm(0), x, dst) // 0: to nearest even
	}
}

func bf16ToF32() conversion {
	return func(dst, src Mem) {
		x := YMM()
		VPMOVZXWD(src, x)
		VPSLLD(Imm(16), x, x)
		VMOVUPS(x, dst)
	}
}

// f32ToBF16 rounds to nearest even by adding 0x7fff plus the lowest kept bit, and quiets NaN instead,
// which the addition could carry into an infinity.
func f32ToBF16() conversion {
	lowest, bias, quiet := broadcast(1), broadcast(0x7fff), broadcast(0x400000)
	return func(dst, src Mem) {
		x, rounded, nan := YMM(), YMM(), YMM()
		VMOVUPS(src, x)
		VCMPPS(Imm(3), x, x, nan) // unordered with itself: NaN

		VPSRLD(Imm(16), x, rounded)
		VPAND(lowest, rounded, rounded)
		VPADDD(bias, rounded, rounded)
		VPADDD(x, rounded, rounded)
		VPOR(quiet, x, x)
		VBLENDVPS(nan, x, rounded, rounded)

		VPSRLD(Imm(16), rounded, rounded)
		upper := XMM()
		VEXTRACTI128(Imm(1), rounded, upper)
		VPACKUSDW(upper, rounded.AsX(), rounded.AsX())
		VMOVDQU(rounded.AsX(), dst)
	}
}

func main() {
	ConstraintExpr("!purego")
	convert("f16ToF32", "func(dst *float32, src *uint16, n int)",
		"f16ToF32 widens n binary16 values; n is a multiple of 8.", 4, 2, f16ToF32)
	convert("f32ToF16", "func(dst *uint16, src *float32, n int)",
		"f32ToF16 rounds n values to the nearest even binary16; n is a multiple of 8.", 2, 4, f32ToF16)
	convert("bf16ToF32", "func(dst *float32, src *uint16, n int)",
		"bf16ToF32 widens n bfloat16 values; n is a multiple of 8.", 4, 2, bf16ToF32)
	convert("f32ToBF16", "func(dst *uint16, src *float32, n int)",
		"f32ToBF16 rounds n values to the nearest even bfloat16; n is a multiple of 8.", 2, 4, f32ToBF16)
	Generate()
}
