//go:build !purego

package gemm

import (
	"golang.org/x/sys/cpu"

	"github.com/gpupeft/gpupeft/tensor/internal/quant"
)

// native are the fastest kernels of this processor. Environment GODEBUG=cpu.avx512f=off or cpu.avx2=off does without.
var native = detect()

func detect() *kernels {
	switch x := cpu.X86; {
	case x.HasAVX512F && x.HasAVX2 && x.HasFMA && x.HasF16C && x.HasBMI2:
		return &avx512
	case x.HasAVX2 && x.HasFMA && x.HasF16C:
		return &avx2
	}
	return &plain
}

// avx2 are the kernels for processors with AVX2, FMA and F16C.
var avx2 = kernels{
	height: 6, width: 16, micro: microAVX2,
	dots: dotsAVX2, dotsF16: dotsF16AVX2, dotsBF16: dotsBF16AVX2, narrowUnit: 8, transpose: transposeAVX2, copy: copyAVX2,
}

// avx512 are those for processors with AVX-512F and BMI2 too.
var avx512 = kernels{
	height: 12, width: 32, masked: true, micro: microAVX512,
	dots: dotsAVX512, dotsF16: dotsF16AVX512, dotsBF16: dotsBF16AVX512, narrowUnit: 16,
	dotsQuant: dotsQuantAVX512, quantized: []*quant.Format{&quant.Q4_0, &quant.Q4_1, &quant.Q8_0}, transpose: transposeAVX2, copy: copyAVX2,
}

// size is that of a float32 in bytes, the unit of the assembly's distances.
const size = 4

func microAVX2(t *tiles) {
	a, b, c, from := &t.a[0], &t.b[0], &t.c[0], t.source()
	row, step, panel, ldc, ldfrom := t.aRow*size, t.aStep*size, t.aPanel*size, t.ldc*size, t.ldfrom*size
	switch t.height {
	case 1:
		micro1(t.kc, a, row, step, panel, b, c, ldc, from, ldfrom, t.alpha, t.panels)
	case 2:
		micro2(t.kc, a, row, step, panel, b, c, ldc, from, ldfrom, t.alpha, t.panels)
	case 3:
		micro3(t.kc, a, row, step, panel, b, c, ldc, from, ldfrom, t.alpha, t.panels)
	case 4:
		micro4(t.kc, a, row, step, panel, b, c, ldc, from, ldfrom, t.alpha, t.panels)
	case 5:
		micro5(t.kc, a, row, step, panel, b, c, ldc, from, ldfrom, t.alpha, t.panels)
	case 6:
		micro6(t.kc, a, row, step, panel, b, c, ldc, from, ldfrom, t.alpha, t.panels)
	}
}

func microAVX512(t *tiles) {
	a, b, c, from := &t.a[0], &t.b[0], &t.c[0], t.source()
	row, step, panel, ldc, ldfrom := t.aRow*size, t.aStep*size, t.aPanel*size, t.ldc*size, t.ldfrom*size
	mask := uint32(1<<t.cols - 1)
	kernel := micro512[t.height-1][1]
	if t.cols <= 16 {
		kernel = micro512[t.height-1][0]
	}
	kernel(t.kc, a, row, step, panel, b, c, ldc, from, ldfrom, t.alpha, t.panels, mask)
}

// micro512 are the AVX-512 kernels by height and width.
var micro512 = [12][2]func(kc int, a *float32, aRow, aStep, aPanel int, b, c *float32, ldc int, from *float32, ldfrom int, alpha float32, panels int, mask uint32){
	{micro1x16AVX512, micro1x32AVX512},
	{micro2x16AVX512, micro2x32AVX512},
	{micro3x16AVX512, micro3x32AVX512},
	{micro4x16AVX512, micro4x32AVX512},
	{micro5x16AVX512, micro5x32AVX512},
	{micro6x16AVX512, micro6x32AVX512},
	{micro7x16AVX512, micro7x32AVX512},
	{micro8x16AVX512, micro8x32AVX512},
	{micro9x16AVX512, micro9x32AVX512},
	{micro10x16AVX512, micro10x32AVX512},
	{micro11x16AVX512, micro11x32AVX512},
	{micro12x16AVX512, micro12x32AVX512},
}

func dotsAVX2(n int, rows *[streamed][]float32, x []float32, step, small int, out []float32, _ int) {
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

func dotsF16AVX2(n int, rows *[streamed][]uint16, x []float32, step, small int, out []float32, _ int) {
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

func dotsBF16AVX2(n int, rows *[streamed][]uint16, x []float32, step, small int, out []float32, _ int) {
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

func dotsAVX512(n int, rows *[streamed][]float32, x []float32, step, small int, out []float32, ahead int) {
	pointers := [streamed]*float32{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
	switch small {
	case 1:
		dotsF321AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*size)
	case 2:
		dotsF322AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*size)
	case 3:
		dotsF323AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*size)
	}
}

func dotsF16AVX512(n int, rows *[streamed][]uint16, x []float32, step, small int, out []float32, ahead int) {
	pointers := [streamed]*uint16{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
	switch small {
	case 1:
		dotsF161AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*2)
	case 2:
		dotsF162AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*2)
	case 3:
		dotsF163AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*2)
	}
}

func dotsBF16AVX512(n int, rows *[streamed][]uint16, x []float32, step, small int, out []float32, ahead int) {
	pointers := [streamed]*uint16{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
	switch small {
	case 1:
		dotsBF161AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*2)
	case 2:
		dotsBF162AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*2)
	case 3:
		dotsBF163AVX512(n, &pointers, &x[0], step*size, &out[0], ahead*2)
	}
}

func dotsQuantAVX512(f *quant.Format, n int, rows *[streamed][]byte, x, out []float32, ahead int) {
	pointers := [streamed]*byte{&rows[0][0], &rows[1][0], &rows[2][0], &rows[3][0]}
	switch f {
	case &quant.Q4_0:
		dotsQ4_0AVX512(n, &pointers, &x[0], &out[0], ahead)
	case &quant.Q4_1:
		dotsQ4_1AVX512(n, &pointers, &x[0], &out[0], ahead)
	case &quant.Q8_0:
		dotsQ8_0AVX512(n, &pointers, &x[0], &out[0], ahead)
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
	switch l.slots {
	case 8:
		copy8(&dst[0], panel*size, &pointers, n, l.width*size, panels)
	case 16:
		copy16(&dst[0], panel*size, &pointers, n, l.width*size, panels)
	case 32:
		copy32(&dst[0], panel*size, &pointers, n, l.width*size, panels)
	}
}
