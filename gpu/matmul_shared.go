package gpu

import "fmt"

// A sharing says how a shared kernel brings blocks of a and w into workgroup memory, and
// how it reads them there. What is best depends on the GPU; results are the same to the
// bit, but for fused.
type sharing struct {
	depth  int // values of the inner dimension in workgroup memory at a time, a multiple of 4
	unroll int // steps of them that are written out in one loop iteration, a multiple of 4
	// ahead has an invocation load its share of the next block into registers before it
	// multiplies this one, so that memory answers meanwhile.
	ahead bool
	// twice keeps two blocks of each matrix in workgroup memory: the next one is written
	// while others still read this one. Goes with ahead.
	twice bool
	// swizzle spreads the quads that neighbouring invocations write over memory banks.
	swizzle bool
	// square has 32 neighbouring invocations work on 4×8 blocks of their tile instead
	// of 2×16: they read fewer different values.
	square bool
	fused  bool // multiply and add with fma
}

// plain sharing of a 64×64 tile takes 8 KiB for both blocks.
var plain = sharing{depth: 16, unroll: 4}

// memory is the bytes of workgroup memory of a shared tile.
func (t tile) memory() int {
	n := 4 * t.depth * (t.rows*t.lanesM + t.cols*t.lanesN)
	if t.twice {
		n *= 2
	}
	return n
}

// shared writes the kernel whose workgroups load a block of a and a block of w into
// workgroup memory, by k first: as_[k][m], ws[k][n], in vec4s of neighbouring rows of a
// and columns of c. An invocation's rows and columns lie apart by quads, so that
// neighbouring invocations read neighbouring vec4s.
func (g *generator) shared(t tile) {
	a := sharedBlock{into: "as_", load: "a", quads: t.rows / 4 * t.lanesM, first: "row", end: "p.m", alongK: t.form != tn}
	w := sharedBlock{into: "ws", load: "w", quads: t.cols / 4 * t.lanesN, first: "col", end: "p.n", alongK: t.form == nt}
	copies := 1
	if t.twice {
		copies = 2
	}
	g.line("const AS = %du;", copies*t.depth*a.quads)
	g.line("const WS = %du;", copies*t.depth*w.quads)
	g.line("var<workgroup> as_: array<vec4<f32>, AS>;")
	g.line("var<workgroup> ws: array<vec4<f32>, WS>;")
	g.main(t.threads())
	g.line("let row = group.y * %du;", 4*a.quads)
	g.line("let col = group.x * %du;", 4*w.quads)
	g.placeInTile(t)
	g.inner()
	g.accumulators(t)
	loads := t.shares(a, w)
	for i := range loads {
		for s := range 4 {
			g.line("var v%d_%d: vec4<f32>;", i, s)
		}
	}
	if t.ahead {
		g.aheadLoop(t, loads, a.quads, w.quads)
	} else {
		g.plainLoop(t, loads, a.quads, w.quads)
	}
	g.store(t,
		func(i int) string { return fmt.Sprintf("row + %du + 4u * down", i/4*4*t.lanesM+i%4) },
		func(q int) string { return fmt.Sprintf("col + %du + 4u * right", q*4*t.lanesN) })
	g.line("}")
}

// placeInTile declares where among the lanes of its workgroup an invocation is.
func (g *generator) placeInTile(t tile) {
	if !t.square {
		g.line("let down = lane / %du;", t.lanesN)
		g.line("let right = lane %% %du;", t.lanesN)
		return
	}
	across := t.lanesN / 8
	g.line("let down = lane / %du * 4u + lane / 8u %% 4u;", 32*across)
	g.line("let right = lane / 32u %% %du * 8u + lane %% 8u;", across)
}

// plainLoop loads, then multiplies.
func (g *generator) plainLoop(t tile, loads []sharedLoad, aQuads, wQuads int) {
	g.line("for (var k = k_first; k < k_end; k += %du) {", t.depth)
	g.loadShares(t, loads, "k")
	g.keepShares(t, loads, "")
	g.line("workgroupBarrier();")
	g.multiplyBlocks(t, aQuads, wQuads, "", "")
	g.line("workgroupBarrier();")
	g.line("}")
}

// aheadLoop loads the next block while it multiplies this one.
func (g *generator) aheadLoop(t tile, loads []sharedLoad, aQuads, wQuads int) {
	place := func(quads int) string {
		if !t.twice {
			return ""
		}
		return fmt.Sprintf(" + turn * %du", t.depth*quads)
	}
	if t.twice {
		g.line("var turn = 0u;")
	}
	g.loadShares(t, loads, "k_first")
	g.keepShares(t, loads, "turn")
	g.line("workgroupBarrier();")
	g.line("for (var k = k_first; k < k_end; k += %du) {", t.depth)
	g.loadShares(t, loads, fmt.Sprintf("(k + %du)", t.depth))
	g.multiplyBlocks(t, aQuads, wQuads, place(aQuads), place(wQuads))
	if t.twice {
		g.line("turn = 1u - turn;")
	} else {
		g.line("workgroupBarrier();")
	}
	g.keepShares(t, loads, "turn")
	g.line("workgroupBarrier();")
	g.line("}")
}

// multiplyBlocks adds the product of the two blocks to the accumulators.
func (g *generator) multiplyBlocks(t tile, aQuads, wQuads int, aPlace, wPlace string) {
	s := ""
	if t.unroll < t.depth {
		g.line("for (var s = 0u; s < %du; s += %du) {", t.depth, t.unroll)
		s = "s + "
	}
	for i := range t.unroll {
		g.line("{")
		down, right := "down", "right"
		if t.swizzle {
			flip := fmt.Sprintf("(%s%du) / 4u %% 4u * 2u", s, i)
			down, right = fmt.Sprintf("(down ^ (%s))", flip), fmt.Sprintf("(right ^ (%s))", flip)
		}
		for q := range t.rows / 4 {
			g.line("let x%d = as_[(%s%du) * %du + %du + %s%s];", q, s, i, aQuads, q*t.lanesM, down, aPlace)
		}
		for q := range t.cols / 4 {
			g.line("let y%d = ws[(%s%du) * %du + %du + %s%s];", q, s, i, wQuads, q*t.lanesN, right, wPlace)
		}
		g.outer(t)
		g.line("}")
	}
	if s != "" {
		g.line("}")
	}
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

// A sharedLoad has each invocation of a range of lanes load one unit of a block: four
// values of k by four rows of a or columns of c.
type sharedLoad []unitLoad

type unitLoad struct {
	sharedBlock
	from, to int // lanes
	first    int // the unit of lane 0, may be negative
}

// shares deals the units of both blocks out to the lanes.
func (t tile) shares(a, w sharedBlock) []sharedLoad {
	na, nw := a.quads*t.depth/4, w.quads*t.depth/4
	var loads []sharedLoad
	for lo := 0; lo < na+nw; lo += t.threads() {
		var l sharedLoad
		if lo < na {
			l = append(l, unitLoad{a, 0, min(na-lo, t.threads()), lo})
		}
		if hi := min(lo+t.threads(), na+nw); hi > na {
			l = append(l, unitLoad{w, max(na-lo, 0), hi - lo, lo - na})
		}
		loads = append(loads, l)
	}
	return loads
}

// each writes the text of do for every unit of the loads, guarded by its lanes.
func (g *generator) each(t tile, loads []sharedLoad, do func(i int, u unitLoad)) {
	for i, l := range loads {
		for _, u := range l {
			switch {
			case u.from > 0:
				g.line("if (lane >= %du && lane < %du) {", u.from, u.to)
			case u.to < t.threads():
				g.line("if (lane < %du) {", u.to)
			default:
				g.line("{")
			}
			g.line("let unit = lane + %du - %du;", max(u.first, 0), max(-u.first, 0))
			if u.alongK { // neighbours load along a row
				g.line("let high = unit %% %du;", t.depth/4)
				g.line("let across = unit / %du;", t.depth/4)
			} else {
				g.line("let high = unit / %du;", u.quads)
				g.line("let across = unit %% %du;", u.quads)
			}
			do(i, u)
			g.line("}")
		}
	}
}

// loadShares loads the invocation's units of the blocks that begin at k. What lies beyond
// the end of the inner dimension becomes zero.
func (g *generator) loadShares(t tile, loads []sharedLoad, k string) {
	g.each(t, loads, func(i int, u unitLoad) {
		g.line("let q = %s / 4u + high;", k)
		for s := range 4 {
			g.line("v%d_%d = vec4<f32>();", i, s)
		}
		if !u.alongK {
			for s := range 4 {
				g.line("if (4u * q + %du < k_end) { v%d_%d = %s_quad(%s_base(4u * q + %du), %s / 4u + across); }",
					s, i, s, u.load, u.load, s, u.sharedBlock.first)
			}
			return
		}
		g.line("if (4u * q < k_end) {")
		for s := range 4 {
			quad := fmt.Sprintf("%s_quad(%s_base(min(%s + 4u * across + %du, %s - 1u)), q)", u.load, u.load, u.sharedBlock.first, s, u.end)
			g.line("v%d_%d = %s;", i, s, g.cut(t, quad))
		}
		g.line("}")
	})
}

// keepShares writes the loaded units into workgroup memory.
func (g *generator) keepShares(t tile, loads []sharedLoad, turn string) {
	g.each(t, loads, func(i int, u unitLoad) {
		place := ""
		if t.twice {
			place = fmt.Sprintf(" + %s * %du", turn, t.depth*u.quads)
		}
		across := "across"
		if t.swizzle {
			across = "(across ^ (high % 4u * 2u))"
		}
		for s := range 4 {
			v := fmt.Sprintf("v%d_%d", i, s)
			if u.alongK {
				c := components[s]
				v = fmt.Sprintf("vec4<f32>(v%d_0.%c, v%d_1.%c, v%d_2.%c, v%d_3.%c)", i, c, i, c, i, c, i, c)
			}
			g.line("%s[(high * 4u + %du) * %du + %s%s] = %s;", u.into, s, u.quads, across, place, v)
		}
	})
}
