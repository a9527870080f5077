package tensor_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

func newCPU(t testing.TB, workers int) *tensor.CPU {
	b := tensor.NewCPU(workers)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// vector makes a tensor of n equal values.
func vector(t testing.TB, b tensor.Backend, value float32, shape ...int) *tensor.Tensor {
	t.Helper()
	x, err := b.New("vector", tensor.F32, shape...)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensor.WriteFloats(t.Context(), b, x, slices.Repeat([]float32{value}, x.Len())); err != nil {
		t.Fatal(err)
	}
	return x
}

func submit(ctx context.Context, b tensor.Backend, list ...tensor.Op) error {
	p := tensor.Begin(b)
	p.Do(list...)
	return p.Submit(ctx)
}

func TestCPUConformance(t *testing.T) { optest.Run(t, newCPU(t, 0)) }

// TestCPUSameBitsForAnyWorkers runs the whole grid on 1, 2 and 8 goroutines.
func TestCPUSameBitsForAnyWorkers(t *testing.T) {
	one, two, eight := newCPU(t, 1), newCPU(t, 2), newCPU(t, 8)
	for _, c := range optest.Cases() {
		want, err := c.Run(t.Context(), one)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range []tensor.Backend{two, eight} {
			got, err := c.Run(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			if err := optest.Compare(got, want, 0); err != nil {
				t.Errorf("%s with %d workers: %v", c.Name, b.Info().Threads, err)
			}
		}
	}
}

func TestCPUInfo(t *testing.T) {
	if got := newCPU(t, 0).Info().Threads; got != runtime.GOMAXPROCS(0) {
		t.Errorf("%d workers by default, GOMAXPROCS is %d", got, runtime.GOMAXPROCS(0))
	}
	info := newCPU(t, 3).Info()
	if info.Kind != "cpu" || info.Type != "cpu" || info.Name == "" || info.Threads != 3 {
		t.Errorf("info %+v", info)
	}
}

func TestCPUNew(t *testing.T) {
	b := newCPU(t, 1)
	for _, tt := range []struct {
		name  string
		dtype tensor.DType
		shape []int
		want  error
	}{
		{"no dimension", tensor.F32, nil, tensor.ErrShape},
		{"empty dimension", tensor.F32, []int{3, 0}, tensor.ErrShape},
		{"negative dimension", tensor.F32, []int{-3, -2}, tensor.ErrShape},
		{"overflow", tensor.F32, []int{1 << 30, 1 << 30, 1 << 30}, tensor.ErrShape},
		{"too much", tensor.F32, []int{1 << 20, 1 << 20}, tensor.ErrMemory},
		{"unknown type", tensor.DType(77), []int{1}, tensor.ErrType},
	} {
		if _, err := b.New(tt.name, tt.dtype, tt.shape...); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.I32} {
		x, err := b.New("x", dt, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		data := slices.Repeat([]byte{1}, int(x.Bytes()))
		if err := b.Read(t.Context(), x, data); err != nil || slices.Max(data) != 0 {
			t.Errorf("a new %v holds % x, %v", dt, data, err)
		}
		for i := range data {
			data[i] = byte(i + 1)
		}
		back := make([]byte, len(data))
		if err := errors.Join(b.Write(t.Context(), x, data), b.Read(t.Context(), x, back)); err != nil || !slices.Equal(data, back) {
			t.Errorf("%v % x comes back as % x, %v", dt, data, back, err)
		}
	}
}

func TestCPUReadAndWriteErrors(t *testing.T) {
	b, other := newCPU(t, 1), newCPU(t, 1)
	x, foreign := vector(t, b, 1, 4), vector(t, other, 1, 4)
	grown := *x
	grown.Shape = []int{5}
	closed := vector(t, b, 1, 4)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		x    *tensor.Tensor
		n    int
		want error
	}{
		{"too few bytes", t.Context(), x, 15, tensor.ErrShape},
		{"too many bytes", t.Context(), x, 20, tensor.ErrShape},
		{"another backend's", t.Context(), foreign, 16, tensor.ErrShape},
		{"beyond the memory", t.Context(), &grown, 20, tensor.ErrShape},
		{"closed", t.Context(), closed, 16, tensor.ErrClosed},
		{"cancelled", cancelled, x, 16, context.Canceled},
	} {
		data := make([]byte, tt.n)
		if err := b.Read(tt.ctx, tt.x, data); !errors.Is(err, tt.want) {
			t.Errorf("read, %s: %v, want %v", tt.name, err, tt.want)
		}
		if err := b.Write(tt.ctx, tt.x, data); !errors.Is(err, tt.want) {
			t.Errorf("write, %s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestCPUFill: the bytes that are put into a tensor's memory are those that Write takes and Read gives.
func TestCPUFill(t *testing.T) {
	type host interface {
		tensor.Backend
		Fill(ctx context.Context, x *tensor.Tensor, f func(data []byte) error) error
	}
	for name, b := range map[string]host{"float32": tensor.NewCPU(1), "float64": tensor.NewFloat64()} {
		defer b.Close()
		for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.I32, tensor.Q4_0} {
			x, err := b.New("x", dt, 2, 32)
			if err != nil {
				t.Fatal(err)
			}
			row, err := x.Slice(1, 2)
			if err != nil {
				t.Fatal(err)
			}
			want, got := make([]byte, row.Bytes()), make([]byte, row.Bytes())
			for i := range want {
				want[i] = byte(i)
			}
			if err := b.Fill(t.Context(), row, func(data []byte) error { copy(data, want); return nil }); err != nil {
				t.Fatal(err)
			}
			if err := b.Read(t.Context(), row, got); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %v: % x, %v, want % x", name, dt, got, err, want)
			}
			failed := errors.New("failed")
			if err := b.Fill(t.Context(), row, func([]byte) error { return failed }); !errors.Is(err, failed) {
				t.Errorf("%s, %v: %v, want the function's error", name, dt, err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if err := b.Fill(t.Context(), row, nil); !errors.Is(err, tensor.ErrClosed) {
				t.Errorf("%s, %v, closed: %v", name, dt, err)
			}
		}
	}
}

func TestCPUMemory(t *testing.T) {
	b := newCPU(t, 1)
	var all []*tensor.Tensor
	for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.I32} {
		x, err := b.New("x", dt, 10)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	if got, want := b.Memory(), (tensor.Memory{InUse: 100, Peak: 100, Tensors: 3}); got != want {
		t.Errorf("memory %+v, want %+v", got, want)
	}
	view, err := all[0].Slice(2, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range append(all, all[0], view, nil) { // twice, a view and no tensor do no harm
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	if got, want := b.Memory(), (tensor.Memory{Peak: 100}); got != want {
		t.Errorf("memory %+v after closing all, want %+v", got, want)
	}
	if err := tensor.WriteFloats(t.Context(), b, view, []float32{1, 2}); !errors.Is(err, tensor.ErrClosed) {
		t.Errorf("a view of closed memory: %v", err)
	}
}

func TestCPUClose(t *testing.T) {
	b := tensor.NewCPU(1)
	x := vector(t, b, 1, 4)
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Memory(); got.InUse != 0 || got.Tensors != 0 {
		t.Errorf("memory %+v after Close", got)
	}
	_, err := b.New("x", tensor.F32, 1)
	for name, err := range map[string]error{
		"New":         err,
		"Read":        b.Read(t.Context(), x, make([]byte, 16)),
		"Write":       b.Write(t.Context(), x, make([]byte, 16)),
		"Run":         b.Run(t.Context(), []tensor.Op{tensor.Fill{Out: x}}),
		"Run nothing": b.Run(t.Context(), nil),
		"Sync":        b.Sync(t.Context()),
		"a pass":      submit(t.Context(), b, tensor.Fill{Out: x}),
	} {
		if !errors.Is(err, tensor.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// TestCPUCloseDuringRun closes tensors and then the backend while operations run.
func TestCPUCloseDuringRun(t *testing.T) {
	b := tensor.NewCPU(2)
	var wg sync.WaitGroup
	for range 4 {
		x, y := vector(t, b, 1, 200, 300), vector(t, b, 1, 200, 300)
		out := vector(t, b, 0, 200, 200)
		wg.Go(func() {
			for {
				err := submit(t.Context(), b, tensor.MatMul{Out: out, X: x, W: y})
				if errors.Is(err, tensor.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			time.Sleep(time.Millisecond)
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(3 * time.Millisecond)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if got := b.Memory(); got.InUse != 0 || got.Tensors != 0 {
		t.Errorf("memory %+v after Close", got)
	}
}

// TestCPUCloseInUse closes a tensor that a running pass still needs: the pass
// ends well, and the memory goes after it.
func TestCPUCloseInUse(t *testing.T) {
	b := newCPU(t, 2)
	x, w := vector(t, b, 1, 500, 1000), vector(t, b, 1, 500, 1000)
	list := slices.Repeat([]tensor.Op{tensor.MatMul{Out: vector(t, b, 0, 500, 500), X: x, W: w}}, 20)
	late := vector(t, b, 0, 1000)
	list = append(list, tensor.Fill{Out: late, Value: 1})
	before := b.Memory()
	b.Profile(true)
	done := make(chan error)
	go func() { done <- submit(t.Context(), b, list...) }()
	for len(b.Timings()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := late.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := b.Memory(); got.InUse != before.InUse-late.Bytes() || got.Tensors != before.Tensors-1 {
		t.Errorf("memory %+v, before the run %+v", got, before)
	}
}

// TestCPUConcurrent has several goroutines compute with their own tensors.
func TestCPUConcurrent(t *testing.T) {
	b := newCPU(t, 2)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			x, err := b.New("x", tensor.F32, 100)
			if err != nil {
				t.Error(err)
				return
			}
			for range 50 {
				err := submit(t.Context(), b, tensor.Fill{Out: x, Value: float32(n)})
				values, readErr := tensor.Floats(t.Context(), b, x)
				if err := errors.Join(err, readErr); err != nil || values[99] != float32(n) {
					t.Error(values, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestCPUCancel cancels one long operation of each kind that can be long.
func TestCPUCancel(t *testing.T) {
	const patience = time.Second // the promise is 100 ms; a loaded machine may take longer
	b := newCPU(t, 2)
	h := tensor.Heads{Batch: 1, Queries: 4000, Keys: 4000, Heads: 8, KVHeads: 1, Dim: 64, Scale: 1}
	q, k := []int{4000, 512}, []int{4000, 64}
	stats := vector(t, b, 0, 4000*8, 2)
	x := vector(t, b, 0, 2000, 4000)
	for _, o := range []tensor.Op{
		tensor.MatMul{Out: vector(t, b, 0, 4000, 2000), X: vector(t, b, 0, 4000, 4000), W: x},
		tensor.Attention{Z: vector(t, b, 0, q...), Stats: stats, Q: vector(t, b, 0, q...), K: vector(t, b, 0, k...), V: vector(t, b, 0, k...), Heads: h},
		tensor.AttentionBackward{
			DQ: vector(t, b, 0, q...), DK: vector(t, b, 0, k...), DV: vector(t, b, 0, k...), DZ: vector(t, b, 0, q...),
			Z: vector(t, b, 0, q...), Stats: stats, Q: vector(t, b, 0, q...), K: vector(t, b, 0, k...), V: vector(t, b, 0, k...), Heads: h,
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		start := time.Now()
		err := submit(ctx, b, slices.Repeat([]tensor.Op{o}, 100)...)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > patience {
			t.Errorf("%s: %v after %v", o.Name(), err, took)
		}
		cancel()
	}
	if err := submit(t.Context(), b, tensor.Fill{Out: x, Value: 3}); err != nil {
		t.Error(err)
	}
}

func TestCPULeavesNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	b := newCPU(t, 8)
	x := vector(t, b, 1, 1<<18)
	for range 20 {
		if err := submit(t.Context(), b, tensor.Scale{Out: vector(t, b, 0, 1<<18), X: x, Factor: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

func TestCPUProfile(t *testing.T) {
	b := newCPU(t, 1)
	x := vector(t, b, 1, 64)
	run := func() {
		if err := submit(t.Context(), b, tensor.Fill{Out: x}, tensor.Fill{Out: x}, tensor.SoftCap{Out: vector(t, b, 0, 64), X: x, Cap: 1}); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if got := b.Timings(); len(got) != 0 {
		t.Errorf("timings without profiling: %v", got)
	}
	b.Profile(true)
	run()
	got := map[string]string{}
	var last time.Duration = math.MaxInt64
	for _, k := range b.Timings() {
		got[k.Kernel] = fmt.Sprint(k.Calls, k.Flops)
		if k.Total <= 0 || k.Total > last {
			t.Errorf("%s took %v, the one before it %v", k.Kernel, k.Total, last)
		}
		last = k.Total
	}
	if len(got) != 2 || got["fill"] != "2 128" || got["softcap"] != "1 512" {
		t.Errorf("timings %v", got)
	}
	b.Profile(true)
	if got := b.Timings(); len(got) != 0 {
		t.Errorf("timings after a restart: %v", got)
	}
}

// TestCPUIndices tests the operations that read indices with bad ones.
func TestCPUIndices(t *testing.T) {
	b := newCPU(t, 1)
	ids := func(v int32) *tensor.Tensor {
		x, err := tensor.FromInts(t.Context(), b, "ids", []int32{0, v}, 2)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	y, x, table := vector(t, b, 0, 2, 4), vector(t, b, 0, 2, 4), vector(t, b, 1, 3, 4)
	for name, o := range map[string]tensor.Op{
		"embed beyond the table": tensor.Embed{Out: y, IDs: ids(3), Table: table},
		"embed beyond the extra": tensor.Embed{Out: y, IDs: ids(-4), Table: table, Extra: vector(t, b, 1, 3, 4)},
		"embed backward":         tensor.EmbedBackward{DTable: vector(t, b, 0, 3, 4), DOut: y, IDs: ids(3)},
		"embed backward, extra":  tensor.EmbedBackward{DTable: vector(t, b, 0, 3, 4), DOut: y, IDs: ids(-4), Extra: true},
		"gather":                 tensor.Gather{Out: y, X: table, Rows: ids(3)},
		"rope beyond the table":  tensor.RoPE{Out: y, X: x, Table: table, Pos: ids(3)},
		"rope before the table":  tensor.RoPE{Out: y, X: x, Table: table, Pos: ids(-1)},
	} {
		if err := submit(t.Context(), b, o); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unknown is an operation that no backend has.
type unknown struct{ tensor.Fill }

func TestCPUUnknownOperation(t *testing.T) {
	b := newCPU(t, 1)
	err := submit(t.Context(), b, unknown{tensor.Fill{Out: vector(t, b, 0, 1)}})
	if !errors.Is(err, tensor.ErrUnsupported) {
		t.Error(err)
	}
}
