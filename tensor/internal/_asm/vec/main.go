// Command vec generates the AVX2/FMA vector primitives of package vec.
package main

import (
	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// loop emits rounds of unroll registers while n allows it, then single registers, then jumps to the label
// "tail" with the rest in n, or to "done" where nothing is left.
func loop(n GPVirtual, unroll int, body func(registers int)) {
	Label("wide")
	CMPQ(n, Imm(uint64(unroll*emit.Lanes)))
	JL(LabelRef("narrow"))
	body(unroll)
	SUBQ(Imm(uint64(unroll*emit.Lanes)), n)
	JMP(LabelRef("wide"))
	Label("narrow")
	CMPQ(n, Imm(emit.Lanes))
	JL(LabelRef("tail"))
	body(1)
	SUBQ(Imm(emit.Lanes), n)
	JMP(LabelRef("narrow"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
}

// sumLanes adds the eight lanes of v pairwise and leaves the sum in its lane 0.
func sumLanes(v VecVirtual) {
	t := XMM()
	VEXTRACTF128(Imm(1), v, t)
	VADDPS(t, v.AsX(), v.AsX())
	VPERMILPS(Imm(0b1110), v.AsX(), t)
	VADDPS(t, v.AsX(), v.AsX())
	VPERMILPS(Imm(1), v.AsX(), t)
	VADDSS(t, v.AsX(), v.AsX())
}

func dot(table Mem) {
	emit.Open("dot", "func(x, y *float32, n int) float32", "dot returns the inner product of x and y, n values each.")
	x, y, n := Load(Param("x"), GP64()), Load(Param("y"), GP64()), Load(Param("n"), GP64()).(GPVirtual)
	acc := []VecVirtual{YMM(), YMM(), YMM(), YMM()}
	for _, a := range acc {
		VXORPS(a, a, a)
	}
	loop(n, len(acc), func(registers int) {
		for i := range registers {
			t := YMM()
			VMOVUPS(Mem{Base: x, Disp: i * emit.Width}, t)
			VFMADD231PS(Mem{Base: y, Disp: i * emit.Width}, t, acc[i])
		}
		ADDQ(U32(uint32(registers*emit.Width)), x)
		ADDQ(U32(uint32(registers*emit.Width)), y)
	})
	mask, a, b := emit.TailMask(table, n), YMM(), YMM()
	VMASKMOVPS(Mem{Base: x}, mask, a)
	VMASKMOVPS(Mem{Base: y}, mask, b)
	VFMADD231PS(a, b, acc[0])
	Label("done")
	VADDPS(acc[1], acc[0], acc[0])
	VADDPS(acc[3], acc[2], acc[2])
	VADDPS(acc[2], acc[0], acc[0])
	sumLanes(acc[0])
	Store(acc[0].AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func axpy(table Mem) {
	emit.Open("axpy", "func(alpha float32, x, y *float32, n int)", "axpy adds alpha*x to y, n values.")
	alpha := YMM()
	VBROADCASTSS(NewParamAddr("alpha", 0), alpha)
	x, y, n := Load(Param("x"), GP64()), Load(Param("y"), GP64()), Load(Param("n"), GP64()).(GPVirtual)
	loop(n, 4, func(registers int) {
		for i := range registers {
			t := YMM()
			VMOVUPS(Mem{Base: y, Disp: i * emit.Width}, t)
			VFMADD231PS(Mem{Base: x, Disp: i * emit.Width}, alpha, t)
			VMOVUPS(t, Mem{Base: y, Disp: i * emit.Width})
		}
		ADDQ(U32(uint32(registers*emit.Width)), x)
		ADDQ(U32(uint32(registers*emit.Width)), y)
	})
	mask, a, b := emit.TailMask(table, n), YMM(), YMM()
	VMASKMOVPS(Mem{Base: x}, mask, a)
	VMASKMOVPS(Mem{Base: y}, mask, b)
	VFMADD231PS(a, alpha, b)
	VMASKMOVPS(b, mask, Mem{Base: y})
	Label("done")
	VZEROUPPER()
	RET()
}

func main() {
	ConstraintExpr("!purego")
	table := emit.TailMasks()
	dot(table)
	axpy(table)
	scaleTo(table)
	add(table)
	normalize(table)
	maximum(table)
	declareConstants()
	expSum(table)
	scoreGradient(table)
	gate(table)
	gateBackward(table)
	Generate()
}
