package main

import (
	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// copyPanels emits the copy of rows into panels, registers wide.
func copyPanels(name string, registers int, doc ...string) {
	emit.Open(name, "func(dst *float32, panel int, rows *[8]*float32, n, step, panels int)", doc...)
	dst, table, panels := emit.Argument("dst"), emit.Argument("rows"), emit.Argument("panels")
	offset, target, row, n := GP64(), GP64(), GP64(), GP64()
	XORQ(offset, offset)

	Label("panel")
	MOVQ(dst, target)
	XORQ(n, n)
	Label("row")
	MOVQ(Mem{Base: table, Index: n, Scale: 8}, row)
	for i := range registers {
		value := YMM()
		VMOVUPS(Mem{Base: row, Index: offset, Scale: 1, Disp: i * emit.Width}, value)
		VMOVUPS(value, Mem{Base: target, Disp: i * emit.Width})
	}
	ADDQ(Imm(uint64(registers*emit.Width)), target)
	INCQ(n)
	CMPQ(n, NewParamAddr("n", 24))
	JL(LabelRef("row"))
	ADDQ(NewParamAddr("panel", 8), dst)
	ADDQ(NewParamAddr("step", 32), offset)
	DECQ(panels)
	JNZ(LabelRef("panel"))
	VZEROUPPER()
	RET()
}
