package main

import (
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const lanes512 = 16

// read512 are the ways to read sixteen stored values, by the name of the format.
var read512 = map[string]func(source Mem) VecVirtual{
	"F32": func(source Mem) VecVirtual {
		v := ZMM()
		VMOVUPS(source, v)
		return v
	},
	"F16": func(source Mem) VecVirtual {
		v := ZMM()
		VCVTPH2PS(source, v)
		return v
	},
	"BF16": func(source Mem) VecVirtual {
		v := ZMM()
		VPMOVZXWD(source, v)
		VPSLLD(Imm(16), v, v)
		return v
	},
}

// inner512 is the state of the generator of one AVX-512 dots function. Value i of a run goes to lane i%16 of the
// accumulator i/16%sets of its row, whatever the format, so that all formats give the same sums.
type inner512 struct {
	n, x, ahead GPVirtual
	rows        [streamed]GPVirtual
	acc         []VecVirtual // of set, small row and streamed row
	small, sets int
}

// open512 emits the beginning of a function.
func open512(small int) *inner512 {
	d := &inner512{small: small, sets: 1, n: emit.Argument("n"), x: emit.Argument("x"), ahead: emit.Argument("ahead")}
	if small == 1 {
		d.sets = 2
	}
	table := emit.Argument("rows")
	for j := range d.rows {
		d.rows[j] = GP64()
		MOVQ(Mem{Base: table, Disp: 8 * j}, d.rows[j])
	}
	d.acc = make([]VecVirtual, d.sets*small*streamed)
	for i := range d.acc {
		d.acc[i] = ZMM()
		VPXORD(d.acc[i], d.acc[i], d.acc[i])
	}
	return d
}

// dots512 emits the inner products of four streamed rows with small rows.
func dots512(f format, small int) {
	name := fmt.Sprintf("dots%s%dAVX512", f.name, small)
	doc := []string{fmt.Sprintf("%s is dots%s%d, and fetches what lies ahead bytes behind what it reads of rows.", name, f.name, small)}
	if f.size < 4 {
		doc = append(doc, "n is a multiple of 16.")
	}
	emit.Open(name, fmt.Sprintf("func(n int, rows *[4]*%s, x *float32, ldx int, out *float32, ahead int)", f.element), doc...)
	d := open512(small)
	xs := rowAddresses(small, d.x, emit.Argument("ldx"))
	load := read512[f.name]
	products := func(set int, mask Op) {
		get := func(source Mem, load func(Mem) VecVirtual) VecVirtual {
			if mask == nil {
				return load(source)
			}
			v := ZMM()
			VMOVUPS_Z(source, mask, v)
			return v
		}
		var values []VecVirtual
		for _, source := range xs {
			source.Disp += set * width512
			values = append(values, get(source, read512["F32"]))
		}
		for j, row := range d.rows {
			w := get(Mem{Base: row, Disp: set * lanes512 * f.size}, load)
			for i, v := range values {
				VFMADD231PS(w, v, d.acc[(set*small+i)*streamed+j])
			}
		}
	}
	loop := func(label, exit string, sets int) {
		Label(label)
		CMPQ(d.n, Imm(uint64(sets*lanes512)))
		JL(LabelRef(exit))
		for set := range sets {
			products(set, nil)
		}
		d.advance(sets*lanes512*f.size, sets*width512)
		SUBQ(Imm(uint64(sets*lanes512)), d.n)
		JMP(LabelRef(label))
		Label(exit)
	}
	loop("wide", "narrow", d.sets)
	if d.sets > 1 {
		loop("single", "tail", 1)
	}
	if f.size == 4 {
		TESTQ(d.n, d.n)
		JZ(LabelRef("sum"))
		ones, mask := GP32(), K()
		MOVL(U32(math.MaxUint32), ones)
		BZHIL(d.n.As32(), ones, ones)
		KMOVW(ones, mask)
		products(0, mask)
		Label("sum")
	}
	d.store()
	finish()
}

// advance emits the steps of all rows and of x, in bytes, and the requests of what lies ahead.
func (d *inner512) advance(row, x int) {
	for _, r := range d.rows {
		for at := 0; at < row; at += 64 {
			PREFETCHT0(Mem{Base: r, Index: d.ahead, Scale: 1, Disp: at})
		}
		ADDQ(U32(uint32(row)), r)
	}
	ADDQ(U32(uint32(x)), d.x)
}

// store emits the additions of the sets and lanes of the accumulators and writes the sums to out.
func (d *inner512) store() {
	first := d.acc[:d.small*streamed]
	for i, acc := range d.acc[len(first):] {
		VADDPS(acc, first[i], first[i])
	}
	out := emit.Argument("out")
	for i := range d.small {
		acc := first[i*streamed:][:streamed]
		for _, a := range acc {
			upper := YMM()
			VEXTRACTF64X4(Imm(1), a, upper)
			VADDPS(upper, a.AsY(), a.AsY())
		}
		sums, upper := YMM(), XMM()
		VHADDPS(acc[1].AsY(), acc[0].AsY(), sums)
		VHADDPS(acc[3].AsY(), acc[2].AsY(), acc[2].AsY())
		VHADDPS(acc[2].AsY(), sums, sums)
		VEXTRACTF128(Imm(1), sums, upper)
		VADDPS(upper, sums.AsX(), sums.AsX())
		VMOVUPS(sums.AsX(), Mem{Base: out, Disp: i * streamed * 4})
	}
}

func finish() {
	VZEROUPPER()
	RET()
}

// dotsQuant emits the inner products of one small row with four rows of quantized blocks of 32 values. block emits
// the first and the second sixteen values of the block that row points at, as the unpackers round them.
func dotsQuant(name string, bytes int, setup func() (block func(row GPVirtual) [2]VecVirtual)) {
	name = "dots" + name + "AVX512"
	emit.Open(name, "func(n int, rows *[4]*byte, x, out *float32, ahead int)",
		name+" is dotsF321AVX512 for rows of quantized blocks; n is a multiple of 32.")
	d := open512(1)
	block := setup()
	Label("block")
	x := [2]VecVirtual{read512["F32"](Mem{Base: d.x}), read512["F32"](Mem{Base: d.x, Disp: width512})}
	for j, row := range d.rows {
		for set, w := range block(row) {
			VFMADD231PS(w, x[set], d.acc[set*streamed+j])
		}
	}
	d.advance(bytes, 2*width512)
	SUBQ(Imm(32), d.n)
	JNZ(LabelRef("block"))
	d.store()
	finish()
}

// sixteen declares a table of sixteen values, from first on, and returns a register that holds it.
func sixteen(name string, first int) VecVirtual {
	table, v, address := GLOBL(name, RODATA|NOPTR), ZMM(), GP64()
	for i := range lanes512 {
		DATA(4*i, U32(math.Float32bits(float32(first+i))))
	}
	LEAQ(table, address)
	VMOVUPS(Mem{Base: address}, v)
	return v
}

// lookup emits the values of the nibbles of 16 bytes, the low ones first, from their table.
func lookup(source Mem, table VecVirtual) [2]VecVirtual {
	bytes, high, first, second := ZMM(), ZMM(), ZMM(), ZMM()
	VPMOVZXBD(source, bytes)
	VPSRLD(Imm(4), bytes, high)
	VPERMPS(table, bytes, first) // by the lowest four bits
	VPERMPS(table, high, second)
	return [2]VecVirtual{first, second}
}

// scale512 emits the binary16 number at an address in all lanes, as float32.
func scale512(source Mem) VecVirtual {
	half, d := YMM(), ZMM()
	VPBROADCASTW(source, half)
	VCVTPH2PS(half, d)
	return d
}

func allDotsQuant() {
	dotsQuant("Q4_0", 18, func() func(GPVirtual) [2]VecVirtual {
		levels := sixteen("fromMinus8", -8)
		return func(row GPVirtual) [2]VecVirtual {
			table := scale512(Mem{Base: row})
			VMULPS(levels, table, table)
			return lookup(Mem{Base: row, Disp: 2}, table)
		}
	})
	dotsQuant("Q4_1", 20, func() func(GPVirtual) [2]VecVirtual {
		levels := sixteen("from0", 0)
		return func(row GPVirtual) [2]VecVirtual {
			both, table, minimum := ZMM(), ZMM(), ZMM() // scale and minimum by turns
			VBROADCASTSS(Mem{Base: row}, both.AsY())
			VCVTPH2PS(both.AsY(), both)
			VMOVSLDUP(both, table)
			VMOVSHDUP(both, minimum)
			VFMADD213PS(minimum, levels, table)
			return lookup(Mem{Base: row, Disp: 4}, table)
		}
	})
	dotsQuant("Q8_0", 34, func() func(GPVirtual) [2]VecVirtual {
		return func(row GPVirtual) [2]VecVirtual {
			d := scale512(Mem{Base: row})
			var values [2]VecVirtual
			for i := range values {
				v := ZMM()
				VPMOVSXBD(Mem{Base: row, Disp: 2 + 16*i}, v)
				VCVTDQ2PS(v, v)
				VMULPS(d, v, v)
				values[i] = v
			}
			return values
		}
	})
}
