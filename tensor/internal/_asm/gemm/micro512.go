package main

import (
	"fmt"

	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	maxHeight512 = 12 // rows of the largest tile: 12x32 takes 24 accumulators of the 32 registers
	width512     = 64 // bytes of a ZMM register
)

// micro512 emits the AVX-512 micro-kernel of tiles of height rows and 16 or 32 columns.
func micro512(height, columns int) {
	name := fmt.Sprintf("micro%dx%dAVX512", height, 16*columns)
	doc := fmt.Sprintf("%s is micro1 for tiles of %dx%d, of a panel of B that is 32 wide; only the columns of mask are written.",
		name, height, 16*columns)
	emit.Open(name, "func(kc int, a *float32, aRow, aStep, aPanel int, b, c *float32, ldc int, from *float32, ldfrom int, alpha float32, panels int, mask uint32)", doc)
	a, c, panels := emit.Argument("a"), emit.Argument("c"), emit.Argument("panels")
	stride, step, ldc := emit.Argument("aRow"), emit.Argument("aStep"), emit.Argument("ldc")
	from := emit.Argument("from")
	cursors := []GPVirtual{GP64()}
	rows := rowAddresses(min(height, maxHeight), cursors[0], stride)
	if height > maxHeight {
		cursors = append(cursors, GP64())
		rows = append(rows, rowAddressesLike(rows, cursors[1])[:height-maxHeight]...)
	}

	Label("panel")
	fetchTile(height, columns, c, ldc)
	acc := make([]VecVirtual, height*columns)
	for i := range acc {
		acc[i] = ZMM()
		VPXORD(acc[i], acc[i], acc[i])
	}
	MOVQ(a, cursors[0])
	if len(cursors) > 1 {
		LEAQ(Mem{Base: a, Index: stride, Scale: 4}, cursors[1])
		LEAQ(Mem{Base: cursors[1], Index: stride, Scale: 2}, cursors[1])
	}
	b, kc := emit.Argument("b"), emit.Argument("kc")
	rankOne := func(offset int) {
		values := make([]VecVirtual, columns)
		for j := range values {
			values[j] = ZMM()
			VMOVUPS(Mem{Base: b, Disp: offset + j*width512}, values[j])
		}
		for i, row := range rows {
			x := ZMM()
			VBROADCASTSS(row, x)
			for j, v := range values {
				VFMADD231PS(v, x, acc[i*columns+j])
			}
		}
		for _, cursor := range cursors {
			ADDQ(step, cursor)
		}
	}
	alongK(b, kc, 2*width512, rankOne)
	Label("store")
	writeTile512(height, columns, c, ldc, from, acc)
	ADDQ(NewParamAddr("aPanel", 32), a)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}

// rowAddressesLike returns the addresses with another base.
func rowAddressesLike(rows []Mem, base GPVirtual) []Mem {
	var moved []Mem
	for _, m := range rows {
		m.Base = base
		moved = append(moved, m)
	}
	return moved
}

// fetchTile emits the requests of the tile's rows, which are needed when the sums are done.
func fetchTile(height, columns int, c, ldc GPVirtual) {
	row := GP64()
	MOVQ(c, row)
	for i := range height {
		for j := range columns {
			PREFETCHT0(Mem{Base: row, Disp: j * width512})
		}
		if i < height-1 {
			ADDQ(ldc, row)
		}
	}
}

// writeTile512 is writeTile for the columns of the mask.
func writeTile512(height, columns int, c, ldc, from GPVirtual, acc []VecVirtual) {
	alpha := ZMM()
	VBROADCASTSS(NewParamAddr("alpha", 80), alpha)
	mask, ldfrom := Load(Param("mask"), GP32()).(GPVirtual), emit.Argument("ldfrom")
	masks := make([]Op, columns)
	for j := range masks {
		k := K()
		KMOVW(mask, k)
		SHRL(Imm(16), mask)
		masks[j] = k
	}
	TESTQ(from, from)
	JZ(LabelRef("overwrite"))
	for i := range height {
		for j, mask := range masks {
			old := ZMM()
			VMOVUPS_Z(Mem{Base: from, Disp: j * width512}, mask, old)
			VFMADD213PS(old, alpha, acc[i*columns+j])
			VMOVUPS(acc[i*columns+j], mask, Mem{Base: c, Disp: j * width512})
		}
		ADDQ(ldc, c)
		ADDQ(ldfrom, from)
	}
	JMP(LabelRef("next"))
	Label("overwrite")
	for i := range height {
		for j, mask := range masks {
			VMULPS(alpha, acc[i*columns+j], acc[i*columns+j])
			VMOVUPS(acc[i*columns+j], mask, Mem{Base: c, Disp: j * width512})
		}
		ADDQ(ldc, c)
	}
	Label("next")
}
