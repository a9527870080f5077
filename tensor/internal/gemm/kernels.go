package gemm

import "github.com/gpupeft/gpupeft/tensor/internal/quant"

const (
	slots    = 8 // rows that are transposed together
	streamed = 4 // rows of the large operand a call of dots reads
	maxDots  = 3 // rows of the small operand a call of dots reads
)

// kernels are the inner loops in one of their implementations.
type kernels struct {
	height, width int  // most rows and columns of a tile
	masked        bool // micro can write fewer columns
	// micro computes a column of tiles.
	micro func(*tiles)
	// dots sets out[streamed*i+j] to the inner product of rows[j] and the n values from x[i*step] on, for
	// i below small, at most maxDots. The elements of the rows that lie ahead are needed next.
	dots func(n int, rows *[streamed][]float32, x []float32, step, small int, out []float32, ahead int)
	// dotsF16 and dotsBF16 are dots for rows of 16-bit values and n a multiple of narrowUnit; nil where
	// unpacking the rows first is as good.
	dotsF16, dotsBF16 func(n int, rows *[streamed][]uint16, x []float32, step, small int, out []float32, ahead int)
	narrowUnit        int
	// dotsQuant is dots for one row of x and rows of whole blocks of one of the formats quantized, whose bytes
	// ahead counts.
	dotsQuant func(f *quant.Format, n int, rows *[streamed][]byte, x, out []float32, ahead int)
	quantized []*quant.Format
	// transpose sets dst[i*step+j] to rows[j][i] for i below n.
	transpose func(dst []float32, step int, rows *[slots][]float32, n int)
	// copy copies l.slots values of n rows one behind the other to dst, then those l.width values further to
	// dst[panel:] and so on for all panels.
	copy func(dst []float32, panel int, rows *[slots][]float32, n int, l layout, panels int)
}

// tiles are the arguments of a micro-kernel: tiles of height rows below each other, one per panel of A, all for
// the same panel of B.
type tiles struct {
	kc     int       // terms per sum, at least 1
	a      []float32 // element (i, k) of panel p at p*aPanel + i*aRow + k*aStep
	aRow   int
	aStep  int
	aPanel int
	height int // rows of a panel, 1 to the kernels' height
	panels int
	b      []float32 // element (k, j) at k*width + j of the kernels' width
	c      []float32
	ldc    int
	cols   int       // of c that are written: all of the kernels' width, unless it is masked
	from   []float32 // what alpha times the product is added to; nil for nothing
	ldfrom int
	alpha  float32
}

// source is the first value of from, or nil.
func (t *tiles) source() *float32 {
	if t.from == nil {
		return nil
	}
	return &t.from[0]
}

// rows runs the kernel over rows of A and C from their start on: whole panels of height, then the rest.
func (t *tiles) rows(micro func(*tiles), rows, height int) {
	t.height, t.panels = height, rows/height
	if t.panels > 0 {
		micro(t)
	}
	if rest := rows % height; rest > 0 {
		t.a = t.a[t.panels*t.aPanel:]
		t.c = t.c[t.panels*height*t.ldc:]
		if t.from != nil {
			t.from = t.from[t.panels*height*t.ldfrom:]
		}
		t.height, t.panels = rest, 1
		micro(t)
	}
}
