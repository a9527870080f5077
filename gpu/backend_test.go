package gpu_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
)

// openBackend opens the GPU of this machine, or skips the test if there is none. With
// GPUPEFT_REQUIRE_GPU=1, which CI sets, it fails instead.
func openBackend(t testing.TB, c gpu.Config) *gpu.Backend {
	t.Helper()
	b, err := gpu.Open(t.Context(), c)
	if errors.Is(err, gpu.ErrUnavailable) && os.Getenv("GPUPEFT_REQUIRE_GPU") != "1" {
		t.Skipf("no GPU: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// lowered are the limits that every WebGPU device grants, with bindings and grids
// so small that small operands must be cut.
func lowered() *gpu.Limits {
	l := gpu.DefaultLimits()
	l.BindingSize = 16 << 10
	l.WorkgroupsPerDim = 512
	return &l
}

func TestBackendErrors(t *testing.T) {
	b := openBackend(t, gpu.Config{Limits: lowered()})
	other := openBackend(t, gpu.Config{})
	x := newTensor(t, b, tensor.F32, 4, 10)
	ctx := t.Context()

	for name, c := range map[string]struct {
		do   func() error
		want error
		says string
	}{
		"empty shape": {func() error { _, err := b.New("x", tensor.F32); return err }, tensor.ErrShape, "new x"},
		"no values":   {func() error { _, err := b.New("x", tensor.F32, 3, 0); return err }, tensor.ErrShape, "[3 0]"},
		"overflowing": {func() error { _, err := b.New("x", tensor.F32, 1<<40, 1<<40); return err }, tensor.ErrMemory, "largest buffer"},
		"no type":     {func() error { _, err := b.New("x", tensor.DType(99), 1); return err }, tensor.ErrType, "dtype(99)"},
		"short write": {func() error { return b.Write(ctx, x, make([]byte, 8)) }, tensor.ErrShape, "8 bytes"},
		"long read":   {func() error { return b.Read(ctx, x, make([]byte, 1000)) }, tensor.ErrShape, "1000 bytes"},
		"foreign tensor": {func() error {
			return run(ctx, other, tensor.Fill{Out: x, Value: 1})
		}, tensor.ErrUnsupported, "another backend"},
		"unaligned view": {func() error {
			v, err := x.Slice(1, 2)
			if err != nil {
				return err
			}
			return run(ctx, b, tensor.Fill{Out: v, Value: 1})
		}, tensor.ErrUnsupported, "begins at byte 40"},
		"too wide for a binding": {func() error {
			y := newTensor(t, b, tensor.F32, 2, 5000)
			return run(ctx, b, tensor.Softmax{Out: newTensor(t, b, tensor.F32, 2, 5000), X: y})
		}, tensor.ErrUnsupported, "limit is 16384"},
		"bad tiles": {func() error { _, err := gpu.Open(ctx, gpu.Config{Tiles: "square"}); return err }, gpu.ErrArgument, "square"},
		"cancelled": {func() error {
			gone, cancel := context.WithCancel(ctx)
			cancel()
			return run(gone, b, tensor.Fill{Out: x, Value: 1})
		}, context.Canceled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.do()
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("error %v, want %v that says %q", err, c.want, c.says)
			}
		})
	}
}

func TestBackendClose(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	before := b.Memory()
	x, err := b.New("x", tensor.F32, 3)
	if err != nil {
		t.Fatal(err)
	}
	if m := b.Memory(); m.InUse != before.InUse+16 || m.Tensors != before.Tensors+1 {
		t.Errorf("memory %+v after 12 bytes were asked for, before %+v", m, before)
	}
	for range 2 {
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if m := b.Memory(); m.InUse != before.InUse || m.Tensors != before.Tensors {
		t.Errorf("memory %+v, want that of before %+v", m, before)
	}
	if err := run(t.Context(), b, tensor.Fill{Out: x}); !errors.Is(err, tensor.ErrClosed) {
		t.Errorf("fill of a closed tensor: %v", err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.New("y", tensor.F32, 1); !errors.Is(err, tensor.ErrClosed) {
		t.Errorf("new on a closed backend: %v", err)
	}
}

// TestHalves reads and writes views that begin and end inside a 4-byte word.
func TestHalves(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	x := newTensor(t, b, tensor.F16, 3, 3)
	want := []byte{1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0}
	if err := b.Write(t.Context(), x, want); err != nil {
		t.Fatal(err)
	}
	middle, err := x.Slice(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Write(t.Context(), middle, []byte{14, 0, 15, 0, 16, 0}); err != nil {
		t.Fatal(err)
	}
	want[6], want[8], want[10] = 14, 15, 16
	got := make([]byte, len(want))
	if err := b.Read(t.Context(), x, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("all: %v, want %v", got, want)
	}
	if err := b.Read(t.Context(), middle, got[:6]); err != nil {
		t.Fatal(err)
	}
	if string(got[:6]) != string(want[6:12]) {
		t.Errorf("middle row: %v, want %v", got[:6], want[6:12])
	}
}

// TestViewsOfOneTensor writes one part of a tensor from another, which needs kernels
// that declare all of their variables read_write.
func TestViewsOfOneTensor(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	all := newTensor(t, b, tensor.F32, 3, 64)
	part := func(row int) *tensor.Tensor {
		v, err := all.Slice(row, row+1)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	err := run(t.Context(), b,
		tensor.Fill{Out: part(0), Value: 3},
		tensor.Fill{Out: part(1), Value: 4},
		tensor.Add{Out: part(2), A: part(0), B: part(1)})
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, all.Bytes())
	if err := b.Read(t.Context(), all, data); err != nil {
		t.Fatal(err)
	}
	for i := range all.Len() {
		got := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		if want := []float32{3, 4, 7}[i/64]; got != want {
			t.Fatalf("value %d is %v, want %v", i, got, want)
		}
	}
}

func TestProfile(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	x := newTensor(t, b, tensor.F32, 1000)
	b.Profile(true)
	for range 3 {
		if err := run(t.Context(), b, tensor.Fill{Out: x, Value: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := b.Timings()
	// The first dispatch of a kernel isn't timed.
	if len(all) != 1 || all[0].Kernel != "elementwise.fill" || all[0].Calls != 2 || all[0].Flops != 2000 || all[0].Total <= 0 {
		t.Errorf("timings %+v, want 2 calls of elementwise.fill with 2000 operations", all)
	}
	b.Profile(true)
	if all := b.Timings(); len(all) != 0 {
		t.Errorf("timings %+v after a new start, want none", all)
	}
}

func newTensor(t testing.TB, b tensor.Backend, dt tensor.DType, shape ...int) *tensor.Tensor {
	t.Helper()
	x, err := b.New("x", dt, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func run(ctx context.Context, b tensor.Backend, ops ...tensor.Op) error {
	p := tensor.Begin(b)
	p.Do(ops...)
	return p.Submit(ctx)
}
