package gpu

import (
	"fmt"
	"strings"

	"github.com/gpupeft/gpupeft/shaders"
	"github.com/gpupeft/gpupeft/tensor"
)

// A tile is the program of a matrix kernel. Its text is generated: WGSL as the native
// library knows it has no macros, and loops over arrays of accumulators are kept in
// memory by some drivers, so the loops over a tile are written out, with a variable
// for every four columns of every row. Everything else stands in shaders/matmul.wgsl.
//
// The three kinds of kernel share their accumulators, c0_0 (row 0, columns 0 to 3),
// c0_1 (row 0, columns 4 to 7), c1_0, …, and their end, and differ in how the values
// of a and w come to them:
//
//   - registers: each invocation loads its rows and columns itself (matmul_register.go)
//   - shared: a workgroup loads blocks into workgroup memory (matmul_shared.go)
//   - rows: a workgroup computes a few dot products together (matmul_rows.go)
//
// All kinds may run over the edges of c: they load what is there, and don't store.
type tile struct {
	kind   tileKind
	form   form
	weight tensor.DType
	geometry
	// Whether the rows of a, w and c begin at multiples of four values.
	vecA, vecW, vecC bool
	tail             bool // the inner dimension is no multiple of four
	blocks           bool // … but one of 32, and so are the rows of w
}

// A geometry says how a workgroup divides its work.
type geometry struct {
	// An invocation computes rows × cols values of c, and lanesM × lanesN invocations
	// of a workgroup lie side by side. For kind rows, lanesN invocations share the sums
	// of the same values, and lanesM such groups lie side by side along n.
	rows, cols     int
	lanesM, lanesN int
	sharing        // of kind shared
	// unit, of kind rows, is the quads of a column that a lane takes at a time: 1, or of
	// rows that are multiples of 32 values, 2 (q and q+4), or 8, a block, of types inBlocks.
	unit int
}

// narrowest bounds from below the columns of c that a workgroup works on, and the rows
// where there are many.
const narrowest = 4

type tileKind string

const (
	registerTile tileKind = "registers"
	sharedTile   tileKind = "shared"
	rowsTile     tileKind = "rows"
)

// tileFor chooses the kernel for a block.
func (r *recorder) tileFor(x product, b block) tile {
	t := tile{
		form: x.form, weight: x.w.DType,
		vecA: x.a.Cols()%4 == 0 && b.k0%4 == 0, vecW: x.w.Cols()%4 == 0, vecC: x.c.Cols()%4 == 0 && b.n0%4 == 0,
		tail: x.form != tn && x.k%4 != 0, blocks: x.k%32 == 0 && x.w.Cols()%32 == 0,
	}
	soft := r.tune.tiles == TilesRegister
	switch {
	case x.form == nt && t.vecA && b.m() <= r.tune.maxRows:
		t.kind, t.geometry = rowsTile, r.tune.rowsFor(b.m(), x.w.DType)
	case soft:
		return t.asRegisters(b.m(), b.n())
	default:
		t.kind, t.geometry = sharedTile, r.tune.sharedFor(b.m(), b.n(), b.k())
	}
	return t
}

// asRegisters takes 16×8 values for an invocation: the more, the fewer loads for a
// multiplication, but beyond that compilers run out of registers.
func (t tile) asRegisters(m, n int) tile {
	t.kind, t.rows, t.cols, t.lanesM, t.lanesN = registerTile, 16, 8, 1, 8
	if m <= 8 {
		t.rows = 8
	}
	switch {
	case n <= 16: // LoRA's narrow matrices: the lanes go over rows
		t.lanesM, t.lanesN = 8, 1
	case n <= 32, t.form == nn && m > t.rows: // … or what comes from one row of w serves more rows
		t.lanesM, t.lanesN = 2, 4
	}
	return t
}

func (t tile) threads() int { return t.lanesM * t.lanesN }

// grid is the number of workgroups for c [m, n].
func (t tile) grid(m, n int) [3]uint32 {
	wide, high := t.cols*t.lanesN, t.rows*t.lanesM
	if t.kind == rowsTile {
		wide, high = t.cols*t.lanesM, t.rows
	}
	return [3]uint32{uint32(ceilDiv(n, wide)), uint32(ceilDiv(m, high)), 1}
}

// steps is the number of loop iterations of an invocation that sums over k.
func (t tile) steps(k int) int {
	switch {
	case t.kind == rowsTile:
		return ceilDiv(k, 4*t.lanesN) + t.lanesN
	case t.kind == sharedTile:
		return ceilDiv(k, t.depth) * (1 + t.depth/t.unroll)
	case t.form == tn:
		return k
	}
	return ceilDiv(k, 4)
}

type tileConsts struct{ VecA, VecW bool }

// source implements program.
func (t tile) source() (KernelSource, error) {
	var g generator
	head, err := preamble(tileConsts{t.vecA, t.vecW})
	if err != nil {
		return KernelSource{}, err
	}
	g.WriteString(head)
	for _, name := range append(weightFiles(t.weight), "matmul") {
		text, err := shaders.Source(name)
		if err != nil {
			return KernelSource{}, err
		}
		g.WriteString(text)
	}
	switch t.kind {
	case registerTile:
		g.registers(t)
	case sharedTile:
		g.shared(t)
	case rowsTile:
		g.rows(t)
	}
	label := fmt.Sprintf("matmul.%v.%v %s %d×%d", t.form, t.weight, t.kind, t.rows*t.lanesM, t.cols*t.lanesN)
	return KernelSource{Label: label, WGSL: g.String(), Entry: "main"}, nil
}

// weightFiles are the files of shaders/ that read a matrix of a type.
func weightFiles(dt tensor.DType) []string {
	name := "weight_" + dt.String()
	switch {
	case dt == tensor.NF4 || dt == tensor.FP4:
		return []string{"blocks", "codebook", name}
	case dt.Quantized():
		return []string{"blocks", name}
	}
	return []string{name}
}

// A generator writes WGSL line by line.
type generator struct{ strings.Builder }

func (g *generator) line(format string, args ...any) { fmt.Fprintf(g, format+"\n", args...) }

// main begins the entry point.
func (g *generator) main(threads int) {
	g.line("@compute @workgroup_size(%d)", threads)
	g.line("fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {")
}

// inner declares the part of the inner dimension that the workgroup sums over.
func (g *generator) inner() {
	g.line("let k_first = group.z * p.k_part;")
	g.line("let k_end = min(p.k, k_first + p.k_part);")
}

// accumulators declares the sums of a tile.
func (g *generator) accumulators(t tile) {
	for i := range t.rows {
		for q := range t.cols / 4 {
			g.line("var c%d_%d = vec4<f32>();", i, q)
		}
	}
}

// components are the names of the values of a vec4.
const components = "xyzw"

// outer adds the outer product of rows x0, x1, … (four to a vec4) and columns y0, y1,
// … (likewise) to the accumulators.
func (g *generator) outer(t tile) {
	for i := range t.rows {
		for q := range t.cols / 4 {
			if t.fused {
				g.line("c%d_%d = fma(vec4<f32>(x%d.%c), y%d, c%d_%d);", i, q, i/4, components[i%4], q, i, q)
				continue
			}
			g.line("c%d_%d += x%d.%c * y%d;", i, q, i/4, components[i%4], q)
		}
	}
}

// store writes the tile's sums. Row i of the tile lies at row(i), quad q at col(q).
func (g *generator) store(t tile, row, col func(i int) string) {
	width := 1
	if t.vecC {
		width = 4
	}
	for i := range t.rows {
		for q := range t.cols / 4 {
			g.line("store%d(%s, %s, group.z, c%d_%d);", width, row(i), col(q), i, q)
		}
	}
}

// offset is the text of name + n.
func offset(name string, n int) string { return fmt.Sprintf("%s + %du", name, n) }
