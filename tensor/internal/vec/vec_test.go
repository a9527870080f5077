package vec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// epsilon is the distance of 1 to the next float32.
const epsilon = 0x1p-23

// expTolerance is the relative error Exp states.
const expTolerance = 1e-7

var lengths = []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 255, 256, 257, 1000}

func randomSlice(seed uint64, n int) []float32 {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	s := make([]float32, n)
	for i := range s {
		s[i] = random.Float32() - 0.5
	}
	return s
}

func TestDot(t *testing.T) {
	for _, n := range lengths {
		x, y := randomSlice(1, n), randomSlice(2, n+3)
		var want, magnitude float64
		for i := range x {
			product := float64(x[i]) * float64(y[i])
			want += product
			magnitude += math.Abs(product)
		}
		// A sum of n products in any order errs by less than n+1 roundings of the sum of magnitudes; with the
		// four or more partial sums used here a quarter is ample.
		tolerance := (float64(n)/4 + 4) * epsilon * magnitude
		for name, got := range map[string]float32{"Dot": Dot(x, y), "dotGo": dotGo(x, y[:n])} {
			if math.Abs(float64(got)-want) > tolerance {
				t.Errorf("%s of %d: %g, want %g", name, n, got, want)
			}
		}
	}
}

func TestAxpyAndScale(t *testing.T) {
	for _, n := range lengths {
		for _, v := range []struct {
			name  string
			axpy  func(float32, []float32, []float32)
			scale func(float32, []float32)
		}{
			{"vector", Axpy, func(alpha float32, x []float32) { ScaleTo(x, x, alpha) }},
			{"plain", axpyGo, func(alpha float32, x []float32) { PlainScaleTo(x, x, alpha) }},
		} {
			t.Run(fmt.Sprintf("%s/%d", v.name, n), func(t *testing.T) {
				const alpha, guard = 1.25, 77
				x, y := randomSlice(3, n), append(randomSlice(4, n), guard)
				before := append([]float32{}, y...)
				v.axpy(alpha, x, y)
				for i := range x {
					want := float64(before[i]) + alpha*float64(x[i])
					if math.Abs(float64(y[i])-want) > 2*epsilon {
						t.Fatalf("axpy element %d: %g, want %g", i, y[i], want)
					}
				}
				v.scale(alpha, x)
				for i, original := range randomSlice(3, n) {
					if x[i] != alpha*original {
						t.Fatalf("scale element %d: %g, want %g", i, x[i], alpha*original)
					}
				}
				if y[n] != guard {
					t.Fatalf("the element behind the end became %g", y[n])
				}
			})
		}
	}
}

func TestExp(t *testing.T) {
	const steps = 1 << 20
	src, dst := make([]float32, steps), make([]float32, steps)
	for i := range src {
		src[i] = -104 + float32(i)*(104+88.72)/steps
	}
	Exp(dst, src)
	var worst float64
	for i, x := range src {
		want := math.Exp(float64(x))
		err := math.Abs(float64(dst[i]) - want)
		if want >= 0x1p-126 {
			worst = max(worst, err/want)
		} else if err > 0x1p-149 {
			t.Fatalf("exp(%g) = %g, want %g", x, dst[i], want)
		}
	}
	t.Logf("largest relative error %.3g", worst)
	if worst > expTolerance {
		t.Errorf("largest relative error %.3g exceeds %g", worst, expTolerance)
	}
}

func TestExpSpecials(t *testing.T) {
	inf := float32(math.Inf(1))
	src := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, 88.73, 1e30, -1e30, -110, float32(math.NaN())}
	want := []float32{1, 1, inf, 0, inf, inf, 0, 0, float32(math.NaN())}
	for offset := range 8 { // each value in each lane and in the masked tail
		padded := append(make([]float32, offset), src...)
		Exp(padded, padded)
		for i, w := range want {
			got := padded[offset+i]
			if got != w && !(math.IsNaN(float64(w)) && math.IsNaN(float64(got))) {
				t.Errorf("exp(%g) at %d = %g, want %g", src[i], offset+i, got, w)
			}
		}
	}
}

func TestExpSum(t *testing.T) {
	for _, n := range lengths {
		for name, f := range map[string]func([]float32, []float32, float32) float32{"ExpSum": ExpSum, "expSumGo": expSumGo} {
			const guard = 5
			src, dst := randomSlice(5, n), make([]float32, n+1)
			dst[n] = guard
			sum := f(dst[:n], src, 0.5)
			var want float64
			for i, x := range src {
				e := math.Exp(float64(x - 0.5))
				if math.Abs(float64(dst[i])-e) > expTolerance*e {
					t.Fatalf("%s of %d: element %d is %g, want %g", name, n, i, dst[i], e)
				}
				want += e
			}
			if math.Abs(float64(sum)-want) > (float64(n)+2)*epsilon*want {
				t.Errorf("%s of %d: sum %g, want %g", name, n, sum, want)
			}
			if dst[n] != guard {
				t.Errorf("%s of %d: the element behind the end became %g", name, n, dst[n])
			}
		}
	}
}

// TestExpIsIndependentOfPosition guards that an element's bits do not depend on whether it falls into a
// whole register or into the masked tail.
func TestExpIsIndependentOfPosition(t *testing.T) {
	src := randomSlice(6, 64)
	whole, part := make([]float32, 64), make([]float32, 64)
	Exp(whole, src)
	for n := range 64 {
		Exp(part[:n], src[:n])
		for i := range n {
			if part[i] != whole[i] {
				t.Fatalf("element %d of %d: %x, among 64 it is %x", i, n, part[i], whole[i])
			}
		}
	}
}

func BenchmarkVec(b *testing.B) {
	for _, n := range []int{64, 4096} {
		x, y := randomSlice(7, n), randomSlice(8, n)
		dst := make([]float32, n)
		for _, f := range []struct {
			name string
			call func()
		}{
			{"Dot", func() { Dot(x, y) }},
			{"Axpy", func() { Axpy(1e-9, x, y) }},
			{"Exp", func() { Exp(dst, x) }},
			{"expGo", func() { expSumGo(dst, x, 0) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", f.name, n), func(b *testing.B) {
				for b.Loop() {
					f.call()
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelem/s")
			})
		}
	}
}
