package gpu

// rows writes the kernel for few rows of a, both matrices stored along k: the lanes of
// a workgroup share the sums over k of t.rows rows and t.cols columns, and the first
// lanes add up what the others found, in the order of the lanes.
func (g *generator) rows(t tile) {
	threads, quads := t.threads(), t.cols/4
	g.line("const SUMS = %du;", t.rows*quads*threads)
	g.line("var<workgroup> sums: array<vec4<f32>, SUMS>;")
	g.main(threads)
	g.line("let row = group.y * %du;", t.rows)
	g.line("let col = group.x * %du;", t.cols)
	g.inner()
	g.accumulators(t)
	g.rowBases(t)
	for j := range t.cols {
		g.line("let w%d = w_base(min(col + %du, p.n - 1u));", j, j)
	}
	g.line("for (var q = k_first / 4u + lane; 4u * q < k_end; q += %du) {", threads)
	for j := range t.cols {
		g.line("let y%d = w_quad(w%d, q);", j, j)
	}
	g.dots(t)
	g.line("}")
	for i := range t.rows {
		for q := range quads {
			g.line("sums[%du + lane] = c%d_%d;", (i*quads+q)*threads, i, q)
		}
	}
	g.line("workgroupBarrier();")
	width := 1
	if t.vecC {
		width = 4
	}
	g.line("for (var i = lane; i < %du; i += %du) {", t.rows*quads, threads)
	g.line("var sum = vec4<f32>();")
	g.line("for (var j = 0u; j < %du; j++) { sum += sums[i * %du + j]; }", threads, threads)
	g.line("store%d(row + i / %du, col + 4u * (i %% %du), group.z, sum);", width, quads, quads)
	g.line("}")
	g.line("}")
}
