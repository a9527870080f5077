package gemm

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// BenchmarkGemm reports the speed of the fastest and the median call, and the work per second of processor
// time, in GFLOP/s.
func BenchmarkGemm(b *testing.B) {
	const nn, nt, tn = 0, 1, 2
	cases := []struct {
		orientation int
		m, n, k     int
		as          []storage
	}{
		{nt, 1024, 1024, 1024, []storage{storedF32, storedBF16}}, // square
		{nn, 1024, 1024, 1024, []storage{storedF32}},
		{tn, 1024, 1024, 1024, []storage{storedF32}},
		{nt, 512, 2048, 2048, []storage{storedF32, storedF16, storedBF16}}, // training
		{nn, 512, 2048, 2048, []storage{storedF32, storedBF16}},
		{nt, 64, 2048, 2048, []storage{storedF32, storedF16, storedBF16}},
		{nn, 64, 2048, 2048, []storage{storedF32, storedBF16}},
		{nt, 16, 2048, 2048, []storage{storedF32, storedBF16}},
		{nt, 8, 2048, 2048, []storage{storedF32, storedBF16}}, // decoding
		{nt, 4, 2048, 2048, []storage{storedF32, storedBF16}},
		{nt, 1, 2048, 2048, []storage{storedF32, storedF16, storedBF16}},
		{nt, 1024, 8, 2048, []storage{storedF32}}, // low rank: forward
		{nt, 1024, 2048, 8, []storage{storedF32}},
		{nt, 1024, 16, 2048, []storage{storedF32}},
		{nt, 1024, 64, 2048, []storage{storedF32}},
		{nn, 1024, 8, 2048, []storage{storedF32}}, // low rank: gradients
		{nn, 1024, 2048, 8, []storage{storedF32}},
		{tn, 8, 2048, 1024, []storage{storedF32}},
		{tn, 2048, 8, 1024, []storage{storedF32}},
		{tn, 64, 2048, 1024, []storage{storedF32}},
		{nt, 32, 64, 16, []storage{storedF32}}, // tiny models
		{nt, 128, 128, 64, []storage{storedF32}},
		{nn, 256, 512, 64, []storage{storedF32}},
	}
	for _, c := range cases {
		for _, as := range c.as {
			o := orientations[c.orientation]
			b.Run(fmt.Sprintf("%s/%dx%dx%d/%s", o.name, c.m, c.n, c.k, as), func(b *testing.B) {
				x, _ := operand(1, c.m, c.k, o.transA, storedF32, 0)
				w, _ := operand(2, c.k, c.n, o.transB, as, 0)
				benchmark(b, native, goroutines(runtime.GOMAXPROCS(0)), c.m, c.n, c.k, x, w)
			})
		}
	}
}

// BenchmarkQuantized measures products with weights stored as float32 and in all quantized formats: training forward
// and backward, few tokens, decoding.
func BenchmarkQuantized(b *testing.B) {
	const nn, nt = 0, 1
	for _, c := range []struct{ orientation, m, n, k int }{
		{nt, 512, 2048, 2048},
		{nn, 512, 2048, 2048},
		{nt, 64, 2048, 2048},
		{nn, 64, 2048, 2048},
		{nt, 16, 2048, 2048},
		{nt, 4, 2048, 2048},
		{nt, 1, 2048, 2048},
		{nn, 1, 2048, 2048},
	} {
		o := orientations[c.orientation]
		x, _ := operand(1, c.m, c.k, false, storedF32, 0)
		product := func(name string, w func() Operand) {
			b.Run(fmt.Sprintf("%s/%dx%dx%d/%s", o.name, c.m, c.n, c.k, name), func(b *testing.B) {
				benchmark(b, native, goroutines(runtime.GOMAXPROCS(0)), c.m, c.n, c.k, x, w())
			})
		}
		product("f32", func() Operand {
			w, _ := operand(2, c.k, c.n, o.transB, storedF32, 0)
			return w
		})
		for _, f := range quantFormats {
			product(f.name, func() Operand {
				w, _ := quantOperand(c.k, c.n, o.transB, f.format)
				return w
			})
		}
	}
}

func BenchmarkPlain(b *testing.B) {
	x, _ := operand(1, 256, 256, false, storedF32, 0)
	w, _ := operand(2, 256, 256, true, storedF32, 0)
	benchmark(b, &plain, Parallel{}, 256, 256, 256, x, w)
}

func benchmark(b *testing.B, kern *kernels, par Parallel, m, n, k int, x, w Operand) {
	c := make([]float32, m*n)
	var times []float64
	cpu := cpuTime()
	for b.Loop() {
		start := time.Now()
		if err := run(kern, par, c, n, m, n, k, 1, 0, x, w); err != nil {
			b.Fatal(err)
		}
		times = append(times, float64(time.Since(start)))
	}
	cpu = cpuTime() - cpu
	slices.Sort(times)
	flop := 2 * float64(m) * float64(n) * float64(k) // and times are in nanoseconds
	b.ReportMetric(flop/times[0], "best-GFLOP/s")
	b.ReportMetric(flop/times[len(times)/2], "median-GFLOP/s")
	if cpu > 0 {
		b.ReportMetric(flop*float64(len(times))/float64(cpu), "GFLOP/cpu-s")
	}
	b.ReportMetric(0, "ns/op")
}
