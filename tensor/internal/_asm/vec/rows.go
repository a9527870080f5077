package main

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// access reads and writes eight values, or the first of them, of the arrays that a function is given.
type access struct {
	load  func(array GPVirtual) VecVirtual
	store func(v VecVirtual, array GPVirtual)
}

// each emits body for all values of the arrays, n of each, and leaves the label "done" behind it.
func each(masks Mem, n GPVirtual, arrays []GPVirtual, body func(a access)) {
	loop(n, 1, func(int) {
		body(access{
			load: func(array GPVirtual) VecVirtual {
				v := YMM()
				VMOVUPS(Mem{Base: array}, v)
				return v
			},
			store: func(v VecVirtual, array GPVirtual) { VMOVUPS(v, Mem{Base: array}) },
		})
		for _, a := range arrays {
			ADDQ(Imm(emit.Width), a)
		}
	})
	mask := emit.TailMask(masks, n)
	body(access{
		load: func(array GPVirtual) VecVirtual {
			v := YMM()
			VMASKMOVPS(Mem{Base: array}, mask, v)
			return v
		},
		store: func(v VecVirtual, array GPVirtual) { VMASKMOVPS(v, mask, Mem{Base: array}) },
	})
	Label("done")
}

func arguments(names ...string) []GPVirtual {
	var all []GPVirtual
	for _, name := range names {
		all = append(all, emit.Argument(name))
	}
	return all
}

// broadcast returns a scalar parameter in all lanes.
func broadcast(name string, offset int) VecVirtual {
	v := YMM()
	VBROADCASTSS(NewParamAddr(name, offset), v)
	return v
}

func finish() {
	VZEROUPPER()
	RET()
}

// scaleTo emits dst = alpha*src.
func scaleTo(masks Mem) {
	emit.Open("scaleTo", "func(dst, src *float32, n int, alpha float32)", "scaleTo sets dst to alpha*src, n values.")
	a, n, alpha := arguments("dst", "src"), emit.Argument("n"), broadcast("alpha", 24)
	each(masks, n, a, func(x access) {
		v := x.load(a[1])
		VMULPS(v, alpha, v)
		x.store(v, a[0])
	})
	finish()
}

// add emits dst = x + y.
func add(masks Mem) {
	emit.Open("add", "func(dst, x, y *float32, n int)", "add sets dst to x+y, n values.")
	a, n := arguments("dst", "x", "y"), emit.Argument("n")
	each(masks, n, a, func(v access) {
		x, y := v.load(a[1]), v.load(a[2])
		VADDPS(x, y, x)
		v.store(x, a[0])
	})
	finish()
}

// normalize emits dst = alpha*x*(offset+w).
func normalize(masks Mem) {
	emit.Open("normalize", "func(dst, x, w *float32, n int, alpha, offset float32)", "normalize sets dst to alpha*x*(offset+w), n values.")
	a, n := arguments("dst", "x", "w"), emit.Argument("n")
	alpha, offset := broadcast("alpha", 32), broadcast("offset", 36)
	each(masks, n, a, func(v access) {
		x, w := v.load(a[1]), v.load(a[2])
		VMULPS(x, alpha, x)
		VADDPS(w, offset, w)
		VMULPS(x, w, x)
		v.store(x, a[0])
	})
	finish()
}

// scoreGradient emits g = p*(g-mean)*scale.
func scoreGradient(masks Mem) {
	emit.Open("scoreGradient", "func(dst, p *float32, n int, mean, scale float32)", "scoreGradient sets dst to p*(dst-mean)*scale, n values.")
	a, n := arguments("dst", "p"), emit.Argument("n")
	mean, scale := broadcast("mean", 24), broadcast("scale", 28)
	each(masks, n, a, func(v access) {
		g, p := v.load(a[0]), v.load(a[1])
		VSUBPS(mean, g, g)
		VMULPS(scale, g, g)
		VMULPS(p, g, g)
		v.store(g, a[0])
	})
	finish()
}

// sigmoid emits 1/(1+e^-x).
func sigmoid(x VecVirtual, constant func(string) Mem) VecVirtual {
	negative, one := YMM(), YMM()
	VXORPS(negative, negative, negative)
	VSUBPS(x, negative, negative)
	y := exp(negative, constant)
	VMOVUPS(constant("1"), one)
	VADDPS(one, y, y)
	VDIVPS(y, one, y)
	return y
}

// gate emits out = gate*sigmoid(gate)*up.
func gate(masks Mem) {
	emit.Open("gate", "func(out, gate, up *float32, n int)", "gate sets out to gate*sigmoid(gate)*up, n values.")
	a, n := arguments("out", "gate", "up"), emit.Argument("n")
	constant := constants(GP64())
	each(masks, n, a, func(x access) {
		g := x.load(a[1])
		s := sigmoid(g, constant)
		VMULPS(g, s, s)
		VMULPS(x.load(a[2]), s, s)
		x.store(s, a[0])
	})
	finish()
}

// gateBackward emits dup = dout*gate*s and dgate = dout*up*(s + gate*s*(1-s)), where s is sigmoid(gate).
func gateBackward(masks Mem) {
	emit.Open("gateBackward", "func(dgate, dup, dout, gate, up *float32, n int)",
		"gateBackward sets dup to dout*gate*s and dgate to dout*up*(s+gate*s*(1-s)), s being sigmoid(gate), n values.")
	a, n := arguments("dgate", "dup", "dout", "gate", "up"), emit.Argument("n")
	constant := constants(GP64())
	each(masks, n, a, func(x access) {
		g := x.load(a[3])
		s := sigmoid(g, constant)
		rest, dout := YMM(), x.load(a[2])
		VMOVUPS(constant("1"), rest)
		VSUBPS(s, rest, rest)
		VMULPS(g, s, g) // the activation
		VFMADD213PS(s, g, rest)
		VMULPS(dout, g, g)
		x.store(g, a[1])
		VMULPS(x.load(a[4]), dout, dout)
		VMULPS(dout, rest, rest)
		x.store(rest, a[0])
	})
	finish()
}

// maximum emits the largest of n values, at least one, or NaN if there is one.
func maximum(masks Mem) {
	emit.Open("maximum", "func(x *float32, n int) float32", "maximum returns the largest of the n values of x, at least one, or NaN where there is one.")
	x, n := emit.Argument("x"), emit.Argument("n")
	top, strange, lowest := YMM(), YMM(), GP32() // strange: the lanes that have seen NaN
	MOVL(U32(math.Float32bits(float32(math.Inf(-1)))), lowest)
	VMOVD(lowest, top.AsX())
	VBROADCASTSS(top.AsX(), top)
	VXORPS(strange, strange, strange)
	take := func(v VecVirtual) {
		unordered := YMM()
		VCMPPS(Imm(3), v, v, unordered)
		VORPS(unordered, strange, strange)
		VMAXPS(v, top, top)
	}
	loop(n, 4, func(registers int) {
		for i := range registers {
			v := YMM()
			VMOVUPS(Mem{Base: x, Disp: i * emit.Width}, v)
			take(v)
		}
		ADDQ(U32(uint32(registers*emit.Width)), x)
	})
	mask, v := emit.TailMask(masks, n), YMM()
	VMASKMOVPS(Mem{Base: x}, mask, v)
	VBLENDVPS(mask, v, top, v)
	take(v)
	Label("done")
	half := XMM()
	VEXTRACTF128(Imm(1), top, half)
	VMAXPS(half, top.AsX(), top.AsX())
	VPERMILPS(Imm(0b1110), top.AsX(), half)
	VMAXPS(half, top.AsX(), top.AsX())
	VPERMILPS(Imm(1), top.AsX(), half)
	VMAXPS(half, top.AsX(), top.AsX())
	VEXTRACTF128(Imm(1), strange, half)
	VORPS(half, strange.AsX(), strange.AsX())
	seen := GP32()
	VMOVMSKPS(strange.AsX(), seen)
	TESTL(seen, seen)
	JZ(LabelRef("numbers"))
	VPCMPEQD(top.AsX(), top.AsX(), top.AsX()) // all ones: NaN
	Label("numbers")
	Store(top.AsX(), ReturnIndex(0))
	finish()
}
