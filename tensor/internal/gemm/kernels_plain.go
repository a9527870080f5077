package gemm

// plain are the kernels in portable Go.
const plainWidth = 16

var plain = kernels{height: 6, width: plainWidth, micro: microPlain, dots: dotsPlain, transpose: transposePlain, copy: copyPlain}

// microPlain computes the tiles in pieces of 2x4, whose sums fit the registers of all platforms.
func microPlain(t *tiles) {
	for p := range t.panels {
		a, row := t.a[p*t.aPanel:], p*t.height
		for i := 0; i < t.height; i += 2 {
			first := a[i*t.aRow:]
			if i+1 == t.height {
				oneRow(t, first, row+i)
				break
			}
			twoRows(t, first, a[(i+1)*t.aRow:], row+i)
		}
	}
}

func twoRows(t *tiles, a0, a1 []float32, i int) {
	for j := 0; j < plainWidth; j += 4 {
		var s00, s01, s02, s03, s10, s11, s12, s13 float32
		b, at := t.b[j:], 0
		for k := range t.kc {
			row := b[k*plainWidth:][:4]
			x, y := a0[at], a1[at]
			at += t.aStep
			s00 += x * row[0]
			s01 += x * row[1]
			s02 += x * row[2]
			s03 += x * row[3]
			s10 += y * row[0]
			s11 += y * row[1]
			s12 += y * row[2]
			s13 += y * row[3]
		}
		t.store(i, j, s00, s01, s02, s03)
		t.store(i+1, j, s10, s11, s12, s13)
	}
}

func oneRow(t *tiles, a []float32, i int) {
	for j := 0; j < plainWidth; j += 4 {
		var s0, s1, s2, s3 float32
		b, at := t.b[j:], 0
		for k := range t.kc {
			row := b[k*plainWidth:][:4]
			x := a[at]
			at += t.aStep
			s0 += x * row[0]
			s1 += x * row[1]
			s2 += x * row[2]
			s3 += x * row[3]
		}
		t.store(i, j, s0, s1, s2, s3)
	}
}

// store writes four sums to row i of the tiles, from column j on.
func (t *tiles) store(i, j int, s0, s1, s2, s3 float32) {
	s0, s1, s2, s3 = t.alpha*s0, t.alpha*s1, t.alpha*s2, t.alpha*s3
	if t.from != nil {
		from := t.from[i*t.ldfrom+j:][:4]
		s0, s1, s2, s3 = from[0]+s0, from[1]+s1, from[2]+s2, from[3]+s3
	}
	c := t.c[i*t.ldc+j:][:4]
	c[0], c[1], c[2], c[3] = s0, s1, s2, s3
}

func dotsPlain(n int, rows *[streamed][]float32, x []float32, step, small int, out []float32, _ int) {
	r0, r1, r2, r3 := rows[0][:n], rows[1][:n], rows[2][:n], rows[3][:n]
	for i := range small {
		var s0, s1, s2, s3 float32
		for k, v := range x[i*step:][:n] {
			s0 += v * r0[k]
			s1 += v * r1[k]
			s2 += v * r2[k]
			s3 += v * r3[k]
		}
		sums := out[i*streamed:][:streamed]
		sums[0], sums[1], sums[2], sums[3] = s0, s1, s2, s3
	}
}

func transposePlain(dst []float32, step int, rows *[slots][]float32, n int) {
	for j, row := range rows {
		at := j
		for _, v := range row[:n] {
			dst[at] = v
			at += step
		}
	}
}

func copyPlain(dst []float32, panel int, rows *[slots][]float32, n int, l layout, panels int) {
	for p := range panels {
		for r, row := range rows[:n] {
			copy(dst[p*panel+r*l.slots:], row[p*l.width:][:l.slots])
		}
	}
}
