package gemm

import (
	"fmt"
	"math"
	"testing"

	"github.com/gpupeft/gpupeft/tensor/internal/quant"
)

// quantFormats are the formats of quantized weights; the first five have blocks of 32, the last two of 64.
var quantFormats = []struct {
	name   string
	format *quant.Format
}{
	{"q8_0", &quant.Q8_0},
	{"q4_0", &quant.Q4_0},
	{"q4_1", &quant.Q4_1},
	{"q5_0", &quant.Q5_0},
	{"q5_1", &quant.Q5_1},
	{"q4_k", &quant.Q4_K},
	{"q5_k", &quant.Q5_K},
	{"q6_k", &quant.Q6_K},
	{"nf4", &quant.NF4},
	{"fp4", &quant.FP4},
}

// quantOperand makes a random matrix such that op of it is rows x cols. The second result is the same matrix held
// as float32.
func quantOperand(rows, cols int, trans bool, f *quant.Format) (stored, plain Operand) {
	if trans {
		rows, cols = cols, rows
	}
	values := random(3, rows*cols)
	data := make([]byte, len(values)/f.Block*f.Bytes)
	f.Pack(data, values)
	f.Unpack(values, data)
	stored = Operand{Rows: rows, Cols: cols, Stride: cols, Trans: trans}
	plain = stored
	plain.F32 = values
	stored.Source = &QuantRows{Format: f, Data: data, Cols: cols}
	return stored, plain
}

// TestQuantizedBits computes products from quantized weights and from the same values as float32, on either side
// and with several numbers of workers: the bits must be equal.
func TestQuantizedBits(t *testing.T) {
	for _, f := range quantFormats {
		block := f.format.Block
		for _, shape := range [][3]int{{1, 33, 2}, {3, 65, 1}, {16, 5, 9}, {17, 96, 3}, {70, 100, 5}, {200, 257, 1}, {40, 20, 1}} {
			for _, trans := range []bool{false, true} {
				m, n, k := shape[0], shape[1], shape[2]*block
				if !trans {
					n, k = k, n // rows of weights run along n
				}
				t.Run(fmt.Sprintf("%s/%dx%dx%d/trans=%v", f.name, m, n, k, trans), func(t *testing.T) {
					for name, kern := range implementations() {
						stored, plain := quantOperand(k, n, trans, f.format)
						a, _ := operand(1, m, k, false, storedF32, 0)
						want := make([]float32, m*n)
						if err := run(kern, Parallel{}, want, n, m, n, k, 1, 0, a, plain); err != nil {
							t.Fatal(err)
						}
						compare(t, want, nil, n, m, n, k, 1, 0, a, plain)
						for _, workers := range []int{1, 2, 5} {
							got := make([]float32, m*n)
							if err := run(kern, goroutines(workers), got, n, m, n, k, 1, 0, a, stored); err != nil {
								t.Fatal(err)
							}
							for i := range want {
								if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
									t.Fatalf("%s, %d workers: element %d is %x, want %x", name, workers, i, got[i], want[i])
								}
							}
						}
					}
				})
			}
		}
	}
}

// TestQuantizedOnTheLeft has the weights as the left operand, and transposed there.
func TestQuantizedOnTheLeft(t *testing.T) {
	for _, f := range quantFormats {
		for _, trans := range []bool{false, true} {
			m, n, k := 3*f.format.Block, 31, 2*f.format.Block
			stored, plain := quantOperand(m, k, trans, f.format)
			b, _ := operand(1, k, n, true, storedF32, 0)
			c := make([]float32, m*n)
			if err := Gemm(goroutines(2), c, n, m, n, k, 1, 0, stored, b); err != nil {
				t.Fatal(err)
			}
			compare(t, c, nil, n, m, n, k, 1, 0, plain, b)
		}
	}
}

// TestQuantRows reads parts of rows that begin and end within blocks.
func TestQuantRows(t *testing.T) {
	for _, f := range quantFormats {
		rows, cols := 3, 3*f.format.Block
		stored, plain := quantOperand(rows, cols, false, f.format)
		for col := 0; col < cols; col += 7 {
			for n := 0; n <= cols-col; n += 5 {
				got := make([]float32, n+1)
				got[n] = 12345
				stored.Source.Row(got[:n], 1, col)
				for i, v := range got[:n] {
					if v != plain.F32[cols+col+i] {
						t.Fatalf("%s: element %d of %d from %d on is %v, want %v", f.name, i, n, col, v, plain.F32[cols+col+i])
					}
				}
				if got[n] != 12345 {
					t.Fatalf("%s: the value behind %d was changed", f.name, n)
				}
			}
		}
	}
}

func TestQuantizedAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool drops a part of what it is given")
	}
	const n, k = 512, 768
	for _, f := range quantFormats {
		for _, m := range []int{1, 4, 40} {
			for _, trans := range []bool{false, true} {
				stored, _ := quantOperand(k, n, trans, f.format)
				a, _ := operand(1, m, k, false, storedF32, 0)
				c := make([]float32, m*n)
				call := func() {
					if err := Gemm(Parallel{}, c, n, m, n, k, 1, 0, a, stored); err != nil {
						t.Fatal(err)
					}
				}
				call() // fills the pools
				if got := testing.AllocsPerRun(10, call); got >= 1 {
					t.Errorf("%s, %d rows, trans %v: %v allocations per call", f.name, m, trans, got)
				}
			}
		}
	}
}
