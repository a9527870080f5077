package main

import (
	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// transpose emits the transposition of eight rows.
func transpose() {
	emit.Open("transpose8", "func(dst *float32, stride int, rows *[8]*float32, n int)",
		"transpose8 writes element i of the eight rows, n values each, next to each other at dst + i*stride bytes.")
	dst, stride, table, n := emit.Argument("dst"), emit.Argument("stride"), emit.Argument("rows"), emit.Argument("n")
	var rows [emit.Lanes]GPVirtual
	for i := range rows {
		rows[i] = GP64()
		MOVQ(Mem{Base: table, Disp: 8 * i}, rows[i])
	}
	SHLQ(Imm(2), n)
	offset := GP64() // in bytes from the start of every row
	XORQ(offset, offset)

	Label("block")
	SUBQ(Imm(emit.Width), n)
	JL(LabelRef("rest"))
	for _, column := range block(rows, offset) {
		VMOVUPS(column, Mem{Base: dst})
		ADDQ(stride, dst)
	}
	ADDQ(Imm(emit.Width), offset)
	JMP(LabelRef("block"))

	Label("rest")
	ADDQ(Imm(emit.Width), n)
	JZ(LabelRef("done"))
	Label("column")
	for i, row := range rows {
		value := XMM()
		VMOVSS(Mem{Base: row, Index: offset, Scale: 1}, value)
		VMOVSS(value, Mem{Base: dst, Disp: 4 * i})
	}
	ADDQ(stride, dst)
	ADDQ(Imm(4), offset)
	SUBQ(Imm(4), n)
	JNZ(LabelRef("column"))
	Label("done")
	VZEROUPPER()
	RET()
}

// block loads eight values of each of eight rows and returns the eight columns. The loads pair row i with row
// i+4 in the halves of a register, so that only two rounds of shuffles within the halves remain.
func block(rows [emit.Lanes]GPVirtual, offset GPVirtual) []VecVirtual {
	var columns []VecVirtual
	for _, half := range []int{0, emit.Width / 2} {
		var pairs, mixed [4]VecVirtual
		for i := range pairs {
			pairs[i] = YMM()
			VMOVUPS(Mem{Base: rows[i], Index: offset, Scale: 1, Disp: half}, pairs[i].AsX())
			VINSERTF128(Imm(1), Mem{Base: rows[i+4], Index: offset, Scale: 1, Disp: half}, pairs[i], pairs[i])
		}
		for i := range mixed {
			mixed[i] = YMM()
		}
		VUNPCKLPS(pairs[1], pairs[0], mixed[0])
		VUNPCKHPS(pairs[1], pairs[0], mixed[1])
		VUNPCKLPS(pairs[3], pairs[2], mixed[2])
		VUNPCKHPS(pairs[3], pairs[2], mixed[3])
		for i := range 2 {
			low, high := YMM(), YMM()
			VSHUFPS(Imm(0x44), mixed[i+2], mixed[i], low)
			VSHUFPS(Imm(0xEE), mixed[i+2], mixed[i], high)
			columns = append(columns, low, high)
		}
	}
	return columns
}
