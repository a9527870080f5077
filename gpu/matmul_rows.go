package gpu

import "github.com/gpupeft/gpupeft/tensor"

// rows writes the kernel for few rows of a, both matrices stored along k: groups of
// lanes share the sums over k of t.rows rows and t.cols columns, and then add up what
// each of them found, in a fixed order.
func (g *generator) rows(t tile) {
	threads, quads := t.threads(), t.cols/4
	if t.unit == 2 && !inBlocks[t.weight] {
		g.line("fn weight_pair(i: u32) -> mat2x4<f32> { return mat2x4<f32>(weight4(i), weight4(i + 4u)); }")
	}
	g.line("const SUMS = %du;", t.rows*quads*threads)
	g.line("var<workgroup> sums: array<vec4<f32>, SUMS>;")
	g.main(threads)
	g.line("let row = group.y * %du;", t.rows)
	g.line("let col = (group.x * %du + lane / %du) * %du;", t.lanesM, t.lanesN, t.cols)
	g.line("let part = lane %% %du;", t.lanesN)
	g.inner()
	g.accumulators(t)
	g.rowBases(t)
	for j := range t.cols {
		g.line("let w%d = w_base(min(col + %du, p.n - 1u));", j, j)
	}
	switch {
	case t.unit == 8:
		g.blockLoop(t)
	case t.unit == 2:
		g.pairLoop(t)
	default:
		g.line("for (var q = k_first / 4u + part; 4u * q < k_end; q += %du) {", t.lanesN)
		for j := range t.cols {
			g.line("let y%d = w_quad(w%d, q);", j, j)
		}
		g.dots(t)
		g.line("}")
	}
	for i := range t.rows {
		for q := range quads {
			g.line("sums[%du + lane] = c%d_%d;", (i*quads+q)*threads, i, q)
		}
	}
	g.line("workgroupBarrier();")
	g.halve(t)
	width := 1
	if t.vecC {
		width = 4
	}
	left := min(t.lanesN, serial)
	g.line("for (var i = part; i < %du; i += %du) {", t.rows*quads, t.lanesN)
	g.line("var sum = vec4<f32>();")
	g.line("for (var j = 0u; j < %du; j++) { sum += sums[i * %du + lane - part + j]; }", left, threads)
	g.line("store%d(row + i / %du, col + 4u * (i %% %du), group.z, sum);", width, quads, quads)
	g.line("}")
	g.line("}")
}

// serial is the number of sums that one lane adds up: fewer would not pay for a barrier.
const serial = 8

// halve adds the sums of the upper half of a group's lanes to those of the lower half,
// until few are left.
func (g *generator) halve(t tile) {
	for half := t.lanesN / 2; half >= serial; half /= 2 {
		g.line("if (part < %du) {", half)
		for i := range t.rows * t.cols / 4 {
			g.line("sums[%du + lane] += sums[%du + lane];", i*t.threads(), i*t.threads()+half)
		}
		g.line("}")
		g.line("workgroupBarrier();")
	}
}

// inBlocks are the types whose files have a weight_pair, which reads what two quads of a
// block have in common once, and a weight_block, which reads all of a block.
var inBlocks = map[tensor.DType]bool{tensor.Q4_0: true, tensor.Q4_1: true, tensor.Q8_0: true}

// pairLoop sums over quads q and q+4 at a time, of the eight in 32 values. The inner
// dimension is a multiple of 32.
func (g *generator) pairLoop(t tile) {
	g.line("for (var u = k_first / 8u + part; 8u * u < k_end; u += %du) {", t.lanesN)
	g.line("let q = u / 4u * 8u + u %% 4u;")
	for j := range t.cols {
		g.line("let y%d = weight_pair(w%d + q);", j, j)
	}
	for i := range t.rows {
		g.line("let x%d = a_quad(a%d, q);", i, i)
		g.line("let z%d = a_quad(a%d, q + 4u);", i, i)
		for n := range t.cols / 4 {
			g.line("c%d_%d += vec4<f32>(", i, n)
			for j := 4 * n; j < 4*n+4; j++ {
				g.line("dot(x%d, y%d[0]) + dot(z%d, y%d[1]),", i, j, i, j)
			}
			g.line(");")
		}
	}
	g.line("}")
}

// blockLoop sums over whole blocks of 32 values: a lane reads a block with few loads, and
// multiplies with its scale once.
func (g *generator) blockLoop(t tile) {
	g.line("for (var u = k_first / 32u + part; 32u * u < k_end; u += %du) {", t.lanesN)
	for i := range t.rows {
		for e := range 8 {
			g.line("let x%d_%d = a_quad(a%d, 8u * u + %du);", i, e, i, e)
		}
		g.line("let s%d = dot(((x%d_0 + x%d_1) + (x%d_2 + x%d_3)) + ((x%d_4 + x%d_5) + (x%d_6 + x%d_7)), vec4<f32>(1.0));", i, i, i, i, i, i, i, i, i)
	}
	for j := range t.cols {
		g.line("let y%d = weight_block(w%d / 8u + u);", j, j)
		for i := range t.rows {
			g.line("var v%d_%d = y%d.q0 * x%d_0;", i, j, j, i)
			for e := 1; e < 8; e++ {
				g.line("v%d_%d = fma(y%d.q%d, x%d_%d, v%d_%d);", i, j, j, e, i, e, i, j)
			}
			g.line("c%d_%d.%c += y%d.scale * dot(v%d_%d, vec4<f32>(1.0)) + y%d.shift * s%d;", i, j/4, components[j%4], j, i, j, j, i)
		}
	}
	g.line("}")
}
