package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// superBlocks emits the unpackers of the blocks of 256.
func superBlocks() {
	unpack("unpackQ4_KAVX2", "", "unpackQ4_KAVX2 unpacks blocks of Q4_K, at least one.", 256, 144,
		func(u *unpacker) func() { return affine(u, 0, 16) })
	unpack("unpackQ5_KAVX2", "", "unpackQ5_KAVX2 unpacks blocks of Q5_K, at least one.", 256, 176,
		func(u *unpacker) func() { return affine(u, 16, 48) })
	unpack("unpackQ6_KAVX2", "", "unpackQ6_KAVX2 unpacks blocks of Q6_K, at least one.", 256, 210, q6)
}

// affine emits Q4_K, and with the offset of fifth bits Q5_K.
func affine(u *unpacker, fifth, nibbles int) func() {
	scales, minima := AllocLocal(32), AllocLocal(32) // eight float32 each
	mask, sixteen := bytesOf(15), bytesOf(16)
	return func() {
		u.scalesAndMinima(scales, minima)
		var bits VecVirtual
		if fifth > 0 {
			bits = YMM()
			VMOVDQU(u.at(fifth), bits)
		}
		for chunk := range 4 {
			low, high := YMM(), YMM()
			VMOVDQU(u.at(nibbles+32*chunk), low)
			VPSRLW(Imm(4), low, high)
			for part, levels := range []VecVirtual{low, high} {
				sub := 2*chunk + part
				VPAND(mask, levels, levels)
				if fifth > 0 {
					bit := YMM()
					if sub < 4 {
						VPSLLW(Imm(uint64(4-sub)), bits, bit)
					} else {
						VPSRLW(Imm(uint64(sub-4)), bits, bit)
					}
					VPAND(sixteen, bit, bit)
					VPOR(bit, levels, levels)
				}
				d, m := YMM(), YMM()
				VBROADCASTSS(scales.Offset(4*sub), d)
				VBROADCASTSS(minima.Offset(4*sub), m)
				finish := func(v VecVirtual) {
					VMULPS(d, v, v)
					VSUBPS(m, v, v)
				}
				u.spread32(levels, unsigned, 32*sub, finish, finish)
			}
		}
	}
}

// scalesAndMinima decodes the 6-bit scales and minima, times the block's own, to memory.
func (u *unpacker) scalesAndMinima(scales, minima Mem) {
	word := func(offset int) GPVirtual {
		w := GP32()
		MOVL(u.at(offset), w)
		return w
	}
	// The first four: six low bits of a byte. The others: a nibble, and the upper two bits of the first four.
	join := func(first GPVirtual, nibbles GPVirtual) GPVirtual {
		upper, all := GP32(), GP64()
		MOVL(first, upper)
		SHRL(Imm(2), upper)
		ANDL(U32(0x30303030), upper)
		ANDL(U32(0x0f0f0f0f), nibbles)
		ORL(nibbles, upper)
		ANDL(U32(0x3f3f3f3f), first)
		MOVL(upper, all.As32())
		SHLQ(Imm(32), all)
		ORQ(first.As64(), all)
		return all
	}
	store := func(all GPVirtual, d VecVirtual, dst Mem) {
		v := YMM()
		VMOVQ(all, v.AsX())
		VPMOVZXBD(v.AsX(), v)
		VCVTDQ2PS(v, v)
		VMULPS(d, v, v)
		VMOVUPS(v, dst)
	}
	low, high := word(12), GP32()
	MOVL(low, high)
	SHRL(Imm(4), high)
	store(join(word(4), low), u.scale(0), scales)
	store(join(word(8), high), u.scale(2), minima)
}

// q6 emits Q6_K.
func q6(u *unpacker) func() {
	scales := AllocLocal(64) // sixteen float32
	mask, three, zero := bytesOf(15), bytesOf(3), bytesOf(32)
	return func() {
		d := u.scale(208)
		for half := range 2 {
			v := YMM()
			VPMOVSXBD(u.at(192+8*half), v)
			VCVTDQ2PS(v, v)
			VMULPS(d, v, v)
			VMOVUPS(v, scales.Offset(32*half))
		}
		for half := range 2 {
			bits := YMM()
			VMOVDQU(u.at(128+32*half), bits)
			for quarter := range 4 {
				levels, upper := YMM(), YMM()
				VMOVDQU(u.at(64*half+32*(quarter%2)), levels)
				if quarter >= 2 {
					VPSRLW(Imm(4), levels, levels)
				}
				VPAND(mask, levels, levels)
				shifted := bits
				if quarter > 0 {
					shifted = YMM()
					VPSRLW(Imm(uint64(2*quarter)), bits, shifted)
				}
				VPAND(three, shifted, upper)
				VPSLLW(Imm(4), upper, upper)
				VPOR(upper, levels, levels)
				VPSUBB(zero, levels, levels)
				first, second := YMM(), YMM()
				VBROADCASTSS(scales.Offset(4*(8*half+2*quarter)), first)
				VBROADCASTSS(scales.Offset(4*(8*half+2*quarter+1)), second)
				u.spread32(levels, signed, 128*half+32*quarter, times(first), times(second))
			}
		}
	}
}
