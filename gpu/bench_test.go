package gpu_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
)

// BenchmarkDispatch is the time of one small dispatch among many in one Run.
func BenchmarkDispatch(b *testing.B) {
	d := openDevice(b, gpu.Config{})
	k, x := kernel(b, d, "add", addKernel), newBuffer(b, d, "x", 1024)
	list := make([]gpu.Dispatch, 1000)
	for i := range list {
		list[i] = gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 1), Groups: [3]uint32{1, 1, 1}}
	}
	must(b, d.Run(b.Context(), list...))
	for b.Loop() {
		must(b, d.Run(b.Context(), list...))
		must(b, d.Sync(b.Context()))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(list)), "µs/dispatch")
}

// BenchmarkRunRead is the time of one dispatch and the reading of its result.
func BenchmarkRunRead(b *testing.B) {
	d := openDevice(b, gpu.Config{})
	k, x, got := kernel(b, d, "add", addKernel), newBuffer(b, d, "x", 1024), make([]byte, 4)
	one := gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 1), Groups: [3]uint32{1, 1, 1}}
	for b.Loop() {
		must(b, d.Run(b.Context(), one))
		must(b, d.Read(b.Context(), x, 0, got))
	}
}

// BenchmarkRead is the time to read buffers of several sizes.
func BenchmarkRead(b *testing.B)  { benchmarkTransfer(b, (*gpu.Device).Read) }
func BenchmarkWrite(b *testing.B) { benchmarkTransfer(b, writeAndSync) }

func writeAndSync(d *gpu.Device, ctx context.Context, x *gpu.Buffer, offset int64, data []byte) error {
	if err := d.Write(ctx, x, offset, data); err != nil {
		return err
	}
	return d.Sync(ctx)
}

func benchmarkTransfer(b *testing.B, move func(*gpu.Device, context.Context, *gpu.Buffer, int64, []byte) error) {
	d := openDevice(b, gpu.Config{})
	for _, size := range []int{4, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			x, data := newBuffer(b, d, "x", int64(size)), make([]byte, size)
			defer x.Close()
			b.SetBytes(int64(size))
			for b.Loop() {
				must(b, move(d, b.Context(), x, 0, data))
			}
		})
	}
}
