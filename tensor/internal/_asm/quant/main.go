// Command quant generates the AVX2/F16C unpackers of package quant.
package main

import (
	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// unpacker is the generator of one function.
type unpacker struct {
	dst, src GPVirtual
}

// unpack emits a function over whole blocks of so many values and bytes. setup emits what comes before the loop and
// returns what emits its body.
func unpack(name, params, doc string, values, bytes int, setup func(*unpacker) (block func())) {
	emit.Open(name, "func(dst *float32, src *byte, "+params+"blocks int)", doc)
	u := &unpacker{dst: emit.Argument("dst"), src: emit.Argument("src")}
	blocks := emit.Argument("blocks")
	block := setup(u)
	Label("block")
	block()
	ADDQ(U32(uint32(values*4)), u.dst)
	ADDQ(U32(uint32(bytes)), u.src)
	DECQ(blocks)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// at is the byte of the block at an offset.
func (u *unpacker) at(offset int) Mem { return Mem{Base: u.src, Disp: offset} }

// value is the i-th of the block's values.
func (u *unpacker) value(i int) Mem { return Mem{Base: u.dst, Disp: 4 * i} }

// scale returns the binary16 number at an offset in all lanes, as float32.
func (u *unpacker) scale(offset int) VecVirtual {
	half, d := XMM(), YMM()
	VPBROADCASTW(u.at(offset), half)
	VCVTPH2PS(half, d)
	return d
}

// bytesOf returns a register with value in all 32 bytes.
func bytesOf(value uint8) VecVirtual {
	general, v := GP32(), YMM()
	MOVL(U32(uint32(value)*0x01010101), general)
	VMOVD(general, v.AsX())
	VPBROADCASTD(v.AsX(), v)
	return v
}

// widen is how bytes become 32-bit integers.
type widen func(source, dst Op)

// spread converts the 16 bytes of x to float32, hands both halves to finish and stores them from value i on.
func (u *unpacker) spread(x Register, w widen, i int, finish func(VecVirtual)) {
	upper := XMM()
	VPSRLDQ(Imm(8), x, upper)
	for part, source := range []Register{x, upper} {
		v := YMM()
		w(source, v)
		VCVTDQ2PS(v, v)
		finish(v)
		VMOVUPS(v, u.value(i+part*emit.Lanes))
	}
}

// spread32 is spread for the 32 bytes of a YMM register, whose halves may have finishes of their own.
func (u *unpacker) spread32(y VecVirtual, w widen, i int, lower, upper func(VecVirtual)) {
	high := XMM()
	VEXTRACTI128(Imm(1), y, high)
	u.spread(y.AsX(), w, i, lower)
	u.spread(high, w, i+16, upper)
}

// times multiplies by d.
func times(d Op) func(VecVirtual) {
	return func(v VecVirtual) { VMULPS(d, v, v) }
}

// timesPlus multiplies by d and adds m, rounding twice.
func timesPlus(d, m Op) func(VecVirtual) {
	return func(v VecVirtual) {
		VMULPS(d, v, v)
		VADDPS(m, v, v)
	}
}

func signed(source, dst Op)   { VPMOVSXBD(source, dst) }
func unsigned(source, dst Op) { VPMOVZXBD(source, dst) }

func main() {
	ConstraintExpr("!purego")
	legacy()
	superBlocks()
	codebook()
	Generate()
}
