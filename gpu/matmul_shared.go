package gpu

import "fmt"

// The part of the inner dimension that a workgroup loads at a time, and how many
// steps of it are written out in one loop iteration. Both blocks of a 64×64 tile
// take 8 KiB together.
const (
	sharedDepth  = 16
	sharedUnroll = 4
)

// shared writes the kernel whose workgroups load a block of a and a block of w into
// workgroup memory, by k first: as[k][m], ws[k][n], in vec4s of neighbouring rows of a
// and columns of c. An invocation's rows and columns lie apart by quads, so that
// neighbouring invocations read neighbouring vec4s.
func (g *generator) shared(t tile) {
	high, wide := t.lanesM, t.lanesN // quads that lie side by side
	rowQuads, colQuads := t.rows/4*high, t.cols/4*wide
	g.line("const AS = %du;", sharedDepth*rowQuads)
	g.line("const WS = %du;", sharedDepth*colQuads)
	g.line("var<workgroup> as_: array<vec4<f32>, AS>;")
	g.line("var<workgroup> ws: array<vec4<f32>, WS>;")
	g.main(t.threads())
	g.line("let row = group.y * %du;", 4*rowQuads)
	g.line("let col = group.x * %du;", 4*colQuads)
	g.line("let down = lane / %du;", wide)
	g.line("let right = lane %% %du;", wide)
	g.inner()
	g.accumulators(t)
	g.line("for (var k = k_first; k < k_end; k += %du) {", sharedDepth)
	a := sharedBlock{into: "as_", load: "a", quads: rowQuads, first: "row", end: "p.m", alongK: t.form != tn}
	w := sharedBlock{into: "ws", load: "w", quads: colQuads, first: "col", end: "p.n", alongK: t.form == nt}
	g.loadBlock(t, a)
	g.loadBlock(t, w)
	g.line("workgroupBarrier();")
	g.multiplyBlocks(t)
	g.line("workgroupBarrier();")
	g.line("}")
	g.store(t,
		func(i int) string { return fmt.Sprintf("row + %du + 4u * down", i/4*4*high+i%4) },
		func(q int) string { return fmt.Sprintf("col + %du + 4u * right", q*4*wide) })
	g.line("}")
}

// multiplyBlocks adds the product of the two blocks to the accumulators.
func (g *generator) multiplyBlocks(t tile) {
	high, wide := t.lanesM, t.lanesN
	g.line("for (var s = 0u; s < %du; s += %du) {", sharedDepth, sharedUnroll)
	for s := range sharedUnroll {
		g.line("{")
		for i := range t.rows / 4 {
			g.line("let x%d = as_[(s + %du) * %du + %du + down];", i, s, t.rows/4*high, i*high)
		}
		for q := range t.cols / 4 {
			g.line("let y%d = ws[(s + %du) * %du + %du + right];", q, s, t.cols/4*wide, q*wide)
		}
		g.outer(t)
		g.line("}")
	}
	g.line("}")
}

// sharedBlock says how one block comes into workgroup memory.
type sharedBlock struct {
	into   string // the variable
	load   string // "a" or "w", for a_base and a_quad
	quads  int    // vec4s for each k
	first  string // the block's first row of a or column of c …
	end    string // … and where those end
	alongK bool   // the matrix is stored along k
}

// loadBlock has each invocation load its share of a block. What lies beyond the end
// of the inner dimension becomes zero.
func (g *generator) loadBlock(t tile, b sharedBlock) {
	units := b.quads * sharedDepth // vec4s, or with alongK, 4×4 blocks
	if b.alongK {
		units /= 4
	}
	for lo := 0; lo < units; lo += t.threads() {
		guard := ""
		if units-lo < t.threads() {
			guard = fmt.Sprintf("if (lane < %du) ", units-lo)
		}
		g.line("%s{", guard)
		g.line("let unit = lane + %du;", lo)
		if b.alongK {
			g.loadTransposed(t, b)
		} else {
			g.loadStraight(b)
		}
		g.line("}")
	}
}

// loadStraight loads four neighbours of one k, as they shall lie.
func (g *generator) loadStraight(b sharedBlock) {
	g.line("let at = k + unit / %du;", b.quads)
	g.line("var v = vec4<f32>();")
	g.line("if (at < k_end) { v = %s_quad(%s_base(at), %s / 4u + unit %% %du); }", b.load, b.load, b.first, b.quads)
	g.line("%s[unit] = v;", b.into)
}

// loadTransposed loads four values of k of each of four rows, and turns them.
func (g *generator) loadTransposed(t tile, b sharedBlock) {
	const quadsOfK = sharedDepth / 4
	g.line("let q = k / 4u + unit %% %du;", quadsOfK)
	g.line("let across = unit / %du;", quadsOfK)
	for i := range 4 {
		g.line("var v%d = vec4<f32>();", i)
	}
	g.line("if (4u * q < k_end) {")
	for i := range 4 {
		quad := fmt.Sprintf("%s_quad(%s_base(min(%s + 4u * across + %du, %s - 1u)), q)", b.load, b.load, b.first, i, b.end)
		g.line("v%d = %s;", i, g.cut(t, quad))
	}
	g.line("}")
	for s := range 4 {
		c := components[s]
		g.line("%s[(unit %% %du * 4u + %du) * %du + across] = vec4<f32>(v0.%c, v1.%c, v2.%c, v3.%c);",
			b.into, quadsOfK, s, b.quads, c, c, c, c)
	}
}
