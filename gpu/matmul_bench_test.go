//go:build unix

package gpu_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
)

// BenchmarkMatMul reports GFLOP/s by the wall clock, and for each second of this
// process's CPU time, which is the better figure for a software adapter on a
// machine that others use too.
func BenchmarkMatMul(b *testing.B) {
	for _, tiles := range []gpu.Tiles{gpu.TilesRegister, gpu.TilesShared} {
		for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.Q8_0, tensor.Q4_0, tensor.Q4_K, tensor.NF4} {
			for _, s := range []struct{ n, i, o int }{{512, 512, 512}, {1024, 1024, 1024}, {64, 2048, 2048}, {512, 2048, 2048}, {1, 2048, 2048}, {1024, 2048, 8}, {1024, 8, 2048}} {
				if s.i%dt.Block() != 0 {
					continue
				}
				be := openBackend(b, gpu.Config{Tiles: tiles})
				x, y := newTensor(b, be, tensor.F32, s.n, s.i), newTensor(b, be, tensor.F32, s.n, s.o)
				w := newTensor(b, be, dt, s.o, s.i)
				for name, o := range map[string]tensor.Op{
					"nt": tensor.MatMul{Out: y, X: x, W: w},
					"nn": tensor.MatMulDX{DX: x, DOut: y, W: w},
					"tn": tensor.MatMulDW{DW: w, DOut: y, X: x},
				} {
					if name == "tn" && dt != tensor.F32 {
						continue
					}
					b.Run(fmt.Sprintf("%s/%v/%s/%dx%dx%d", tiles, dt, name, s.n, s.i, s.o), func(b *testing.B) { measure(b, be, o) })
				}
				if err := be.Close(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

func measure(b *testing.B, be tensor.Backend, o tensor.Op) {
	once := func() {
		if err := run(b.Context(), be, o); err != nil {
			b.Fatal(err)
		}
	}
	once() // compiles
	if err := be.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	cpu, wall := cpuTime(b), time.Now()
	for b.Loop() {
		once()
	}
	if err := be.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	gflop := o.Flops() * float64(b.N) / 1e9
	b.ReportMetric(gflop/time.Since(wall).Seconds(), "GFLOP/s")
	b.ReportMetric(gflop/(cpuTime(b)-cpu).Seconds(), "GFLOP/cpu-s")
}

// cpuTime is what all threads of the process have used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
