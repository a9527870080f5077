package quant

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// normals returns n values of a normal distribution.
func normals(n int, deviation float64) []float32 {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(deviation * random.NormFloat64())
	}
	return values
}

// throughPack returns the values after packing and unpacking.
func throughPack(f *Format, values []float32) []float32 {
	data := make([]byte, len(values)/f.Block*f.Bytes)
	f.Pack(data, values)
	got := make([]float32, len(values))
	f.Unpack(got, data)
	return got
}

// rmse is the root of the mean squared error, relative to a deviation.
func rmse(got, want []float32, deviation float64) float64 {
	var sum float64
	for i := range want {
		sum += math.Pow(float64(got[i])-float64(want[i]), 2)
	}
	return math.Sqrt(sum/float64(len(want))) / deviation
}

// TestPackErrors bounds the errors on normally distributed values from both sides. Those of the types whose bytes
// are the reference's are as measured with it; the k-quants must beat the legacy types of as many bits.
func TestPackErrors(t *testing.T) {
	bounds := map[string][2]float64{
		"q8_0": {0.005, 0.0056}, "q5_0": {0.041, 0.045}, "q5_1": {0.036, 0.040}, "q4_1": {0.076, 0.080}, "q4_0": {0.084, 0.088},
		"nf4": {0.090, 0.094}, "fp4": {0.120, 0.125},
		"q4_k": {0.065, 0.073}, "q5_k": {0.033, 0.0365}, "q6_k": {0.0165, 0.0185},
	}
	for name, f := range formats {
		for _, deviation := range []float64{1, 0.02, 300} {
			values := normals(1<<16, deviation)
			got := rmse(throughPack(f, values), values, deviation)
			if b := bounds[name]; !(b[0] < got && got < b[1]) {
				t.Errorf("%s at deviation %v: %.5f, want between %v and %v", name, deviation, got, b[0], b[1])
			}
		}
	}
}

// TestPackOffset packs values far from zero and of one sign, for which Q4_K and Q5_K have minima.
func TestPackOffset(t *testing.T) {
	values := normals(1<<14, 1)
	for _, offset := range []float32{-10, 10} {
		moved := make([]float32, len(values))
		for i, v := range values {
			moved[i] = v + offset
		}
		for name, most := range map[string]float64{"q4_k": 0.35, "q5_k": 0.2, "q6_k": 0.2} {
			if got := rmse(throughPack(formats[name], moved), moved, 1); got > most {
				t.Errorf("%s around %v: %.4f", name, offset, got)
			}
		}
	}
}

// TestPackIsStable packs what was unpacked: the k-quants' values must stay nearly as they are.
func TestPackIsStable(t *testing.T) {
	for _, name := range []string{"q4_k", "q5_k", "q6_k"} {
		f := formats[name]
		once := throughPack(f, normals(1<<14, 1))
		if got := rmse(throughPack(f, once), once, 1); got > 0.02 {
			t.Errorf("%s: %.4f after a second time", name, got)
		}
	}
}

// TestPackExtremes packs what has no good code, and keeps zeros.
func TestPackExtremes(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for name, f := range formats {
		for _, extreme := range []float32{0, float32(math.Copysign(0, -1)), 1e-45, 1e-40, -1e-30, 3e38, inf, -inf, nan} {
			t.Run(fmt.Sprint(name, "/", extreme), func(t *testing.T) {
				values := make([]float32, 512)
				values[5], values[300] = extreme, -extreme
				got := throughPack(f, values)
				if magnitude(extreme) > 1e-20 || extreme != extreme {
					return // that it returns is enough
				}
				for i, v := range got {
					if magnitude(v) > 1e-20 {
						t.Fatalf("value %d becomes %v", i, v)
					}
				}
			})
		}
	}
}

// TestWholeBlocks has buffers of odd lengths: only whole blocks are touched.
func TestWholeBlocks(t *testing.T) {
	values := normals(2*MaxBlock+1, 1)
	for name, f := range formats {
		n := len(values) / f.Block
		for _, missing := range []int{0, 1, f.Bytes - 1} {
			data := make([]byte, n*f.Bytes-missing)
			f.Pack(data, values)
			whole := len(data) / f.Bytes
			for i, b := range data[whole*f.Bytes:] {
				if b != 0 {
					t.Errorf("%s: byte %d of a part of a block is set", name, i)
				}
			}
			got := make([]float32, len(values))
			f.Unpack(got, data)
			if got[whole*f.Block-1] == 0 && got[whole*f.Block-2] == 0 {
				t.Errorf("%s: the last whole block is missing", name)
			}
			for i, v := range got[whole*f.Block:] {
				if v != 0 {
					t.Errorf("%s: value %d behind the whole blocks is set", name, i)
				}
			}
		}
		f.Unpack(nil, nil)
		f.Pack(nil, nil)
	}
}

// TestPackEqual packs values that are all the same, of either sign, beside a sub-block that isn't.
func TestPackEqual(t *testing.T) {
	for name, f := range formats {
		for _, x := range []float32{-0.3, 0.3, -7} {
			values := normals(512, 0.1)
			for i := range 64 {
				values[i] = x
			}
			for i, v := range throughPack(f, values)[:64] {
				if math.Abs(float64(v/x)-1) > 0.05 {
					t.Errorf("%s: value %d of those that are %v becomes %v", name, i, x, v)
					break
				}
			}
		}
	}
}

func BenchmarkPack(b *testing.B) {
	values := normals(1<<14, 1)
	for name, f := range formats {
		data := make([]byte, len(values)/f.Block*f.Bytes)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(values)))
			for b.Loop() {
				f.Pack(data, values)
			}
		})
	}
}
