//go:build !purego

package gemm

// native are the fastest kernels of this processor: all that run Go have NEON.
var native = &neon

var neon = kernels{
	height: 6, width: plainWidth, micro: microNEON, dots: dotsNEON, transpose: transposePlain, copy: copyPlain,
}

// size is that of a float32 in bytes, the unit of the assembly's distances.
const size = 4

func microNEON(t *tiles) {
	a, b, c, from := &t.a[0], &t.b[0], &t.c[0], t.source()
	neonMicro[t.height-1](t.kc, a, t.aRow*size, t.aStep*size, t.aPanel*size, b, c, t.ldc*size, from, t.ldfrom*size, t.panels, t.alpha)
}

// neonMicro are the kernels by height.
var neonMicro = [6]func(kc int, a *float32, aRow, aStep, aPanel int, b, c *float32, ldc int, from *float32, ldfrom int, panels int, alpha float32){
	neonMicro1, neonMicro2, neonMicro3, neonMicro4, neonMicro5, neonMicro6,
}

func dotsNEON(n int, rows *[streamed][]float32, x []float32, step, small int, out []float32, _ int) {
	var parts [maxDots * streamed * 4]float32
	whole := n &^ 3
	if whole > 0 {
		pointers := [streamed]*float32{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
		switch small {
		case 1:
			neonDots1(whole, &pointers, &x[0], step*size, &parts[0])
		case 2:
			neonDots2(whole, &pointers, &x[0], step*size, &parts[0])
		case 3:
			neonDots3(whole, &pointers, &x[0], step*size, &parts[0])
		}
	}
	for i := range small * streamed {
		p := parts[4*i:][:4]
		sum := p[0] + p[1] + (p[2] + p[3])
		for k := whole; k < n; k++ {
			sum += x[i/streamed*step+k] * rows[i%streamed][k]
		}
		out[i] = sum
	}
}
