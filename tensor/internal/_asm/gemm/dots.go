package main

import (
	"fmt"

	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	streamed = 4 // rows of the large operand a call reads
	maxSmall = 3 // rows of the small operand: 4x3 takes twelve accumulators
)

// format is the stored form of the streamed rows.
type format struct {
	name    string // suffix of the function
	element string // Go type
	size    int    // bytes of an element
	read    func(source Mem) VecVirtual
}

var formats = []format{
	{"F32", "float32", 4, read},
	{"F16", "uint16", 2, func(source Mem) VecVirtual {
		v := YMM()
		VCVTPH2PS(source, v)
		return v
	}},
	{"BF16", "uint16", 2, func(source Mem) VecVirtual {
		v := YMM()
		VPMOVZXWD(source, v)
		VPSLLD(Imm(16), v, v)
		return v
	}},
}

// documentation describes dots in one of its forms.
func documentation(f format, name string, small int) []string {
	if small > 1 {
		return []string{fmt.Sprintf("%s is dots%s1 for %d rows, ldx bytes apart from x on.", name, f.name, small)}
	}
	doc := []string{
		name + " sets out[j] to the inner product of rows[j] and row 0 of x, n values each; with more rows of",
		"x, out[4*i+j] belongs to row i.",
	}
	if f.size < 4 {
		doc = append(doc, "n is a multiple of 8.") // AVX2 has no masked loads of 16-bit words
	}
	return doc
}

// inner is the state of the generator of one dots function.
type inner struct {
	format format
	small  int
	sets   int // of accumulators
	n, x   GPVirtual
	rows   [streamed]GPVirtual
	xs     []Mem // the small rows at x
	acc    []VecVirtual
}

// dots emits the inner products of four streamed rows with small rows.
func dots(f format, small int, masks Mem) {
	name := fmt.Sprintf("dots%s%d", f.name, small)
	emit.Open(name, fmt.Sprintf("func(n int, rows *[4]*%s, x *float32, ldx int, out *float32)", f.element),
		documentation(f, name, small)...)
	d := inner{format: f, small: small, sets: 1, n: emit.Argument("n"), x: emit.Argument("x")}
	if small == 1 {
		d.sets = 2 // there are registers left to hide the latency of the additions
	}
	table := emit.Argument("rows")
	for j := range d.rows {
		d.rows[j] = GP64()
		MOVQ(Mem{Base: table, Disp: 8 * j}, d.rows[j])
	}
	d.xs = rowAddresses(small, d.x, emit.Argument("ldx"))
	d.acc = zeroed(d.sets * small * streamed)

	d.loop("wide", "narrow", d.sets)
	if d.sets > 1 {
		d.loop("single", "tail", 1)
	}
	if f.size == 4 {
		d.maskedTail(masks)
	}
	d.store()
	VZEROUPPER()
	RET()
}

// loop emits rounds over sets registers of every row while n allows it, and the label exit behind them.
func (d *inner) loop(label, exit string, sets int) {
	Label(label)
	CMPQ(d.n, Imm(uint64(sets*emit.Lanes)))
	JL(LabelRef(exit))
	for set := range sets {
		d.products(set)
	}
	for _, row := range d.rows {
		ADDQ(Imm(uint64(sets*emit.Lanes*d.format.size)), row)
	}
	ADDQ(Imm(uint64(sets*emit.Width)), d.x)
	SUBQ(Imm(uint64(sets*emit.Lanes)), d.n)
	JMP(LabelRef(label))
	Label(exit)
}

// products emits the products of the set-th eight values of the rows with those of the small rows.
func (d *inner) products(set int) {
	var values []VecVirtual
	for _, source := range d.xs {
		source.Disp += set * emit.Width
		values = append(values, read(source))
	}
	for j, row := range d.rows {
		w := d.format.read(Mem{Base: row, Disp: set * emit.Lanes * d.format.size})
		for i, v := range values {
			VFMADD231PS(w, v, d.acc[(set*d.small+i)*streamed+j])
		}
	}
}

// maskedTail emits the products of the last n < 8 values, if any.
func (d *inner) maskedTail(masks Mem) {
	TESTQ(d.n, d.n)
	JZ(LabelRef("sum"))
	mask := emit.TailMask(masks, d.n)
	masked := func(source Mem) VecVirtual {
		v := YMM()
		VMASKMOVPS(source, mask, v)
		return v
	}
	// Beside the mask no register is left to keep the values of all small rows.
	for i, source := range d.xs {
		v := masked(source)
		for j, row := range d.rows {
			VFMADD231PS(masked(Mem{Base: row}), v, d.acc[i*streamed+j])
		}
	}
	Label("sum")
}

// store emits the additions of the sets and lanes of the accumulators and writes the sums to out.
func (d *inner) store() {
	first := d.acc[:d.small*streamed]
	for i, acc := range d.acc[len(first):] {
		VADDPS(acc, first[i], first[i])
	}
	out := emit.Argument("out")
	for i := range d.small {
		acc, upper := first[i*streamed:][:streamed], XMM()
		VHADDPS(acc[1], acc[0], acc[0])
		VHADDPS(acc[3], acc[2], acc[2])
		VHADDPS(acc[2], acc[0], acc[0])
		VEXTRACTF128(Imm(1), acc[0], upper)
		VADDPS(upper, acc[0].AsX(), acc[0].AsX())
		VMOVUPS(acc[0].AsX(), Mem{Base: out, Disp: i * streamed * 4})
	}
}

// read loads eight float32 values.
func read(source Mem) VecVirtual {
	v := YMM()
	VMOVUPS(source, v)
	return v
}
