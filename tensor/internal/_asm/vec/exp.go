package main

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// expConstants is the table of eight-fold constants that exp reads.
var expConstants Mem

// constantOffsets are where they lie in it.
var constantOffsets = map[string]int{}

// declareConstants makes the table.
func declareConstants() {
	ln2 := float32(math.Ln2)
	table := []struct {
		name string
		bits uint32
	}{
		{"min", math.Float32bits(-104)}, // e^-104 rounds to 0
		{"max", math.Float32bits(89)},   // e^89 overflows to +Inf
		{"log2e", math.Float32bits(math.Log2E)},
		{"ln2", math.Float32bits(ln2)},
		{"ln2 rest", math.Float32bits(float32(math.Ln2 - float64(ln2)))},
		{"1/5040", math.Float32bits(1. / 5040)},
		{"1/720", math.Float32bits(1. / 720)},
		{"1/120", math.Float32bits(1. / 120)},
		{"1/24", math.Float32bits(1. / 24)},
		{"1/6", math.Float32bits(1. / 6)},
		{"1/2", math.Float32bits(0.5)},
		{"1", math.Float32bits(1)},
		{"bias", 127},
	}
	expConstants = GLOBL("expConstants", RODATA|NOPTR)
	for i, c := range table {
		constantOffsets[c.name] = i * emit.Width
		for lane := range emit.Lanes {
			DATA(i*emit.Width+4*lane, U32(c.bits))
		}
	}
}

// constants returns an accessor by name of the constants, through a register for their address.
func constants(base GPVirtual) func(name string) Mem {
	LEAQ(expConstants, base)
	return func(name string) Mem {
		offset, ok := constantOffsets[name]
		if !ok {
			panic("no constant " + name)
		}
		return Mem{Base: base, Disp: offset}
	}
}

// exp emits y = e^x. With x = n*ln2 + r, |r| <= ln2/2, it sums the Taylor series of e^r to the seventh
// power (the first term left out is below 6e-9) and multiplies by 2^n in two steps, so that results
// below the normal range come out rounded once. NaN passes through.
func exp(x VecVirtual, constant func(string) Mem) VecVirtual {
	n, r, y := YMM(), YMM(), YMM()
	VMOVUPS(constant("max"), y)
	VMINPS(x, y, r) // the operand x is returned where either is NaN
	VMOVUPS(constant("min"), y)
	VMAXPS(r, y, r)
	VMULPS(constant("log2e"), r, n)
	VROUNDPS(Imm(0), n, n)
	VFNMADD231PS(constant("ln2"), n, r)
	VFNMADD231PS(constant("ln2 rest"), n, r)

	VMOVUPS(constant("1/5040"), y)
	for _, c := range []string{"1/720", "1/120", "1/24", "1/6", "1/2", "1", "1"} {
		VFMADD213PS(constant(c), r, y)
	}

	half := YMM()
	VCVTPS2DQ(n, n)
	VPSRAD(Imm(1), n, half)
	VPSUBD(half, n, n)
	for _, power := range []VecVirtual{half, n} {
		VPADDD(constant("bias"), power, power)
		VPSLLD(Imm(23), power, power)
		VMULPS(power, y, y)
	}
	return y
}

func expSum(masks Mem) {
	emit.Open("expSum", "func(dst, src *float32, n int, shift float32) float32",
		"expSum sets dst to e^(src-shift), n values, and returns their sum.")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	n := Load(Param("n"), GP64()).(GPVirtual)
	shift, sum := YMM(), YMM()
	VBROADCASTSS(NewParamAddr("shift", 24), shift)
	VXORPS(sum, sum, sum)
	constant := constants(GP64())

	loop(n, 2, func(registers int) {
		for i := range registers {
			x := YMM()
			VMOVUPS(Mem{Base: src, Disp: i * emit.Width}, x)
			VSUBPS(shift, x, x)
			y := exp(x, constant)
			VADDPS(y, sum, sum)
			VMOVUPS(y, Mem{Base: dst, Disp: i * emit.Width})
		}
		ADDQ(Imm(uint64(registers*emit.Width)), src)
		ADDQ(Imm(uint64(registers*emit.Width)), dst)
	})
	mask, x := emit.TailMask(masks, n), YMM()
	VMASKMOVPS(Mem{Base: src}, mask, x)
	VSUBPS(shift, x, x)
	y := exp(x, constant)
	VANDPS(mask, y, y)
	VADDPS(y, sum, sum)
	VMASKMOVPS(y, mask, Mem{Base: dst})
	Label("done")
	sumLanes(sum)
	Store(sum.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
