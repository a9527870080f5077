//go:build !purego

package gemm

import "golang.org/x/sys/cpu"

// native are the fastest kernels of this processor.
var native = detect()

func detect() *kernels {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		k := &kernels{micro: microAVX2, dots: dotsAVX2, dotsBF16: dotsBF16AVX2, transpose: transposeAVX2, copy: copyAVX2}
		if cpu.X86.HasF16C {
			k.dotsF16 = dotsF16AVX2
		}
		return k
	}
	return &plain
}

// size is that of a float32 in bytes, the unit of the assembly's distances.
const size = 4

func microAVX2(t *tiles) {
	a, b, c := &t.a[0], &t.b[0], &t.c[0]
	row, step, panel, ldc := t.aRow*size, t.aStep*size, t.aPanel*size, t.ldc*size
	switch t.height {
	case 1:
		micro1(t.kc, a, row, step, panel, b, c, ldc, t.alpha, t.add, t.panels)
	case 2:
		micro2(t.kc, a, row, step, panel, b, c, ldc, t.alpha, t.add, t.panels)
	case 3:
		micro3(t.kc, a, row, step, panel, b, c, ldc, t.alpha, t.add, t.panels)
	case 4:
		micro4(t.kc, a, row, step, panel, b, c, ldc, t.alpha, t.add, t.panels)
	case 5:
		micro5(t.kc, a, row, step, panel, b, c, ldc, t.alpha, t.add, t.panels)
	case 6:
		micro6(t.kc, a, row, step, panel, b, c, ldc, t.alpha, t.add, t.panels)
	}
}

func dotsAVX2(n int, rows *[streamed][]float32, x []float32, step, small int, out []float32) {
	pointers := [streamed]*float32{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
	switch small {
	case 1:
		dotsF321(n, &pointers, &x[0], step*size, &out[0])
	case 2:
		dotsF322(n, &pointers, &x[0], step*size, &out[0])
	case 3:
		dotsF323(n, &pointers, &x[0], step*size, &out[0])
	}
}

func dotsF16AVX2(n int, rows *[streamed][]uint16, x []float32, step, small int, out []float32) {
	pointers := [streamed]*uint16{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
	switch small {
	case 1:
		dotsF161(n, &pointers, &x[0], step*size, &out[0])
	case 2:
		dotsF162(n, &pointers, &x[0], step*size, &out[0])
	case 3:
		dotsF163(n, &pointers, &x[0], step*size, &out[0])
	}
}

func dotsBF16AVX2(n int, rows *[streamed][]uint16, x []float32, step, small int, out []float32) {
	pointers := [streamed]*uint16{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
	switch small {
	case 1:
		dotsBF161(n, &pointers, &x[0], step*size, &out[0])
	case 2:
		dotsBF162(n, &pointers, &x[0], step*size, &out[0])
	case 3:
		dotsBF163(n, &pointers, &x[0], step*size, &out[0])
	}
}

func transposeAVX2(dst []float32, step int, rows *[slots][]float32, n int) {
	var pointers [slots]*float32
	for i := range rows {
		pointers[i] = &rows[i][0]
	}
	transpose8(&dst[0], step*size, &pointers, n)
}

func copyAVX2(dst []float32, panel int, rows *[slots][]float32, n int, l layout, panels int) {
	var pointers [slots]*float32
	for i := range n {
		pointers[i] = &rows[i][0]
	}
	if l.slots == tileWidth {
		copy16(&dst[0], panel*size, &pointers, n, l.width*size, panels)
		return
	}
	copy8(&dst[0], panel*size, &pointers, n, l.width*size, panels)
}
