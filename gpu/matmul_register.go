package gpu

import "fmt"

// registers writes the kernel whose invocations load everything themselves. For a
// tile of R rows and C columns it loads R+C vec4s for 4·R·C multiplications, which
// is what counts where workgroup memory is as slow as any other.
func (g *generator) registers(t tile) {
	g.main(t.threads())
	g.line("let row = (group.y * %du + lane / %du) * %du;", t.lanesM, t.lanesN, t.rows)
	g.line("let col = (group.x * %du + lane %% %du) * %du;", t.lanesN, t.lanesN, t.cols)
	g.line("if (row >= p.m || col >= p.n) { return; }")
	g.inner()
	g.accumulators(t)
	switch t.form {
	case nt:
		g.registersNT(t)
	case nn:
		g.registersNN(t)
	case tn:
		g.registersTN(t)
	}
	g.store(t, func(i int) string { return offset("row", i) }, func(q int) string { return offset("col", 4*q) })
	g.line("}")
}

// rowBases declares where the tile's rows of a begin.
func (g *generator) rowBases(t tile) {
	for i := range t.rows {
		g.line("let a%d = a_base(min(row + %du, p.m - 1u));", i, i)
	}
}

// loadRow loads four values of k of row i of a as x.
func (g *generator) loadRow(t tile, i int) {
	g.line("let x%d = %s;", i, g.cut(t, fmt.Sprintf("a_quad(a%d, q)", i)))
}

// cut drops the values beyond the end of the inner dimension, where it has any.
func (g *generator) cut(t tile, quad string) string {
	if !t.tail {
		return quad
	}
	return "before(" + quad + ", 4u * q, k_end)"
}

// registersNT: both matrices are read along k.
func (g *generator) registersNT(t tile) {
	g.rowBases(t)
	for j := range t.cols {
		g.line("let w%d = w_base(min(col + %du, p.n - 1u));", j, j)
	}
	g.line("for (var q = k_first / 4u; 4u * q < k_end; q++) {")
	for j := range t.cols {
		g.line("let y%d = %s;", j, g.cut(t, fmt.Sprintf("w_quad(w%d, q)", j)))
	}
	g.dots(t)
	g.line("}")
}

// dots adds the dot products of four values of k of the rows, which it loads, and of
// the columns y0, y1, … to the accumulators.
func (g *generator) dots(t tile) {
	for i := range t.rows {
		g.loadRow(t, i)
		for q := range t.cols / 4 {
			j := 4 * q
			g.line("c%d_%d += vec4<f32>(dot(x%d, y%d), dot(x%d, y%d), dot(x%d, y%d), dot(x%d, y%d));",
				i, q, i, j, i, j+1, i, j+2, i, j+3)
		}
	}
}

// registersNN: a is read along k, w along its rows, four of them for one quad of a.
func (g *generator) registersNN(t tile) {
	g.rowBases(t)
	g.line("for (var q = k_first / 4u; 4u * q < k_end; q++) {")
	for s := range 4 {
		k := fmt.Sprintf("4u * q + %du", s)
		if t.tail {
			k = "min(" + k + ", k_end - 1u)" // times zero, but it must be there
		}
		g.line("let w%d = w_base(%s);", s, k)
		for q := range t.cols / 4 {
			g.line("let y%d_%d = w_quad(w%d, col / 4u + %du);", s, q, s, q)
		}
	}
	for i := range t.rows {
		g.loadRow(t, i)
		for q := range t.cols / 4 {
			g.line("c%d_%d += x%d.x * y0_%d + x%d.y * y1_%d + x%d.z * y2_%d + x%d.w * y3_%d;",
				i, q, i, q, i, q, i, q, i, q)
		}
	}
	g.line("}")
}

// registersTN: both matrices are read along their rows, one row each at a time.
func (g *generator) registersTN(t tile) {
	g.line("for (var k = k_first; k < k_end; k++) {")
	g.line("let a_k = a_base(k);")
	g.line("let w_k = w_base(k);")
	for i := range t.rows / 4 {
		g.line("let x%d = a_quad(a_k, row / 4u + %du);", i, i)
	}
	for q := range t.cols / 4 {
		g.line("let y%d = w_quad(w_k, col / 4u + %du);", q, q)
	}
	g.outer(t)
	g.line("}")
}
