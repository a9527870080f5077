package main

import (
	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// replicate is a table for VPSHUFB: byte i/8 for byte i of both halves.
var replicate Mem

// legacy emits the unpackers of the blocks of 32.
func legacy() {
	replicate = GLOBL("replicate", RODATA|NOPTR)
	for i := range 4 {
		DATA(8*i, U64(uint64(i)*0x0101010101010101))
	}
	unpack("unpackQ8_0AVX2", "", "unpackQ8_0AVX2 unpacks blocks of Q8_0, at least one.", 32, 34, q8)
	small := []struct {
		name          string
		bytes         int
		minimum       bool
		fifth, nibble int // where they are; 0: no fifth bits
		zero          uint8
	}{
		{"Q4_0", 18, false, 0, 2, 8},
		{"Q4_1", 20, true, 0, 4, 0},
		{"Q5_0", 22, false, 2, 6, 16},
		{"Q5_1", 24, true, 4, 8, 0},
	}
	for _, f := range small {
		name := "unpack" + f.name + "AVX2"
		unpack(name, "", name+" unpacks blocks of "+f.name+", at least one.", 32, f.bytes, func(u *unpacker) func() {
			mask := bytesOf(15)
			var zero VecVirtual
			if f.zero > 0 {
				zero = bytesOf(f.zero)
			}
			var bits fifthBits
			if f.fifth > 0 {
				bits = newFifthBits()
			}
			return func() {
				levels := u.nibbles(f.nibble, mask)
				if f.fifth > 0 {
					bits.add(u.at(f.fifth), levels)
				}
				finish := times(u.scale(0))
				if f.minimum {
					finish = timesPlus(u.scale(0), u.scale(2))
				}
				if f.zero > 0 {
					VPSUBB(zero, levels, levels)
					u.spread32(levels, signed, 0, finish, finish)
				} else {
					u.spread32(levels, unsigned, 0, finish, finish)
				}
			}
		})
	}
}

func q8(u *unpacker) func() {
	return func() {
		d := u.scale(0)
		for i := 0; i < 32; i += emit.Lanes {
			v := YMM()
			VPMOVSXBD(u.at(2+i), v)
			VCVTDQ2PS(v, v)
			VMULPS(d, v, v)
			VMOVUPS(v, u.value(i))
		}
	}
}

// nibbles returns the low nibbles of 16 bytes in the lower half of a register and the high ones in the upper.
func (u *unpacker) nibbles(offset int, mask VecVirtual) VecVirtual {
	low, high := XMM(), XMM()
	both := YMM()
	VMOVDQU(u.at(offset), low)
	VPSRLW(Imm(4), low, high)
	VINSERTI128(Imm(1), high, low.AsY(), both)
	VPAND(mask, both, both)
	return both
}

// fifthBits are the constants that turn 32 bits into the value 16 of 32 bytes.
type fifthBits struct{ replicate, single, sixteen VecVirtual }

func newFifthBits() fifthBits {
	b := fifthBits{YMM(), YMM(), bytesOf(16)}
	VMOVDQU(replicate, b.replicate)
	bits := GP64()
	MOVQ(U64(0x8040201008040201), bits) // bit i%8 of byte i
	VMOVQ(bits, b.single.AsX())
	VPBROADCASTQ(b.single.AsX(), b.single)
	return b
}

// add gives the levels their fifth bits.
func (b fifthBits) add(word Mem, levels VecVirtual) {
	bits := YMM()
	VPBROADCASTD(word, bits)
	VPSHUFB(b.replicate, bits, bits)
	VPAND(b.single, bits, bits)
	VPCMPEQB(b.single, bits, bits)
	VPAND(b.sixteen, bits, bits)
	VPOR(bits, levels, levels)
}
