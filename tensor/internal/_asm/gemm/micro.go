package main

import (
	"fmt"

	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	maxHeight = 6 // rows of the largest tile: 6x16 takes twelve accumulators of the sixteen registers
	columns   = 2 // registers of a tile's row, 16 values
	unroll    = 4 // steps along k per round of the inner loop
)

// rowAddresses returns the addresses of the height rows of A next to cursor, stride bytes apart.
func rowAddresses(height int, cursor, stride GPVirtual) []Mem {
	rows := []Mem{
		{Base: cursor},
		{Base: cursor, Index: stride, Scale: 1},
		{Base: cursor, Index: stride, Scale: 2},
	}
	if height > 3 {
		triple := GP64()
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, triple)
		rows = append(rows, Mem{Base: cursor, Index: triple, Scale: 1}, Mem{Base: cursor, Index: stride, Scale: 4})
	}
	if height > 5 {
		quintuple := GP64()
		LEAQ(Mem{Base: stride, Index: stride, Scale: 4}, quintuple)
		rows = append(rows, Mem{Base: cursor, Index: quintuple, Scale: 1})
	}
	return rows[:height]
}

// micro emits the micro-kernel of tiles of height rows.
func micro(height int) {
	name := fmt.Sprintf("micro%d", height)
	doc := []string{fmt.Sprintf("%s is micro1 for tiles of %dx16.", name, height)}
	if height == 1 {
		doc = []string{
			"micro1 computes panels tiles of 1x16 that lie below each other in C: alpha times the product of a",
			"panel of A and the packed panel of B, plus the tiles at from unless that is nil. aRow, aStep, aPanel,",
			"ldc and ldfrom are the distances in bytes from one row of A to the next, one k to the next, one panel",
			"to the next and one row of C and of from to the next. kc and panels are at least 1.",
		}
	}
	emit.Open(name, "func(kc int, a *float32, aRow, aStep, aPanel int, b, c *float32, ldc int, from *float32, ldfrom int, alpha float32, panels int)", doc...)
	a, c, panels := emit.Argument("a"), emit.Argument("c"), emit.Argument("panels")
	stride, step, from := emit.Argument("aRow"), emit.Argument("aStep"), emit.Argument("from")
	cursor := GP64()
	rows := rowAddresses(height, cursor, stride)

	Label("panel")
	acc := zeroed(height * columns)
	MOVQ(a, cursor)
	b, kc := emit.Argument("b"), emit.Argument("kc")
	rankOne := func(offset int) {
		values := []VecVirtual{YMM(), YMM()}
		for j, v := range values {
			VMOVUPS(Mem{Base: b, Disp: offset + j*emit.Width}, v)
		}
		for i, row := range rows {
			x := YMM()
			VBROADCASTSS(row, x)
			for j, v := range values {
				VFMADD231PS(v, x, acc[i*columns+j])
			}
		}
		ADDQ(step, cursor)
	}
	alongK(b, kc, columns*emit.Width, rankOne)
	Label("store")
	writeTile(height, c, from, acc)
	ADDQ(NewParamAddr("aPanel", 32), a)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}

// alongK emits the loop over k, up to the label store: rankOne for each row of B, of step bytes, at an
// offset from b.
func alongK(b, kc Register, step int, rankOne func(offset int)) {
	Label("unrolled")
	SUBQ(Imm(unroll), kc)
	JL(LabelRef("rest"))
	for i := range unroll {
		rankOne(i * step)
	}
	ADDQ(U32(unroll*step), b)
	JMP(LabelRef("unrolled"))
	Label("rest")
	ADDQ(Imm(unroll), kc)
	JZ(LabelRef("store"))
	Label("single")
	rankOne(0)
	ADDQ(U32(step), b)
	DECQ(kc)
	JNZ(LabelRef("single"))
}

// writeTile emits the stores of the accumulators to the rows from c on, and leaves c and from behind their last rows.
func writeTile(height int, c, from GPVirtual, acc []VecVirtual) {
	alpha := YMM()
	VBROADCASTSS(NewParamAddr("alpha", 80), alpha)
	ldc, ldfrom := emit.Argument("ldc"), emit.Argument("ldfrom")
	TESTQ(from, from)
	JZ(LabelRef("overwrite"))
	for i := range height {
		for j := range columns {
			VFMADD213PS(Mem{Base: from, Disp: j * emit.Width}, alpha, acc[i*columns+j])
			VMOVUPS(acc[i*columns+j], Mem{Base: c, Disp: j * emit.Width})
		}
		ADDQ(ldc, c)
		ADDQ(ldfrom, from)
	}
	JMP(LabelRef("next"))
	Label("overwrite")
	for i := range height {
		for j := range columns {
			VMULPS(alpha, acc[i*columns+j], acc[i*columns+j])
			VMOVUPS(acc[i*columns+j], Mem{Base: c, Disp: j * emit.Width})
		}
		ADDQ(ldc, c)
	}
	Label("next")
}
