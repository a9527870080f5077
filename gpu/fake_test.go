package gpu

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeDriver stands in for a GPU whose time and failures a test controls. Copies
// and writes work; kernels do nothing but take time.
type fakeDriver struct {
	buffers map[ref][]byte
	pending []func() // writes since the last submission
	work    []fakeWork
	free    time.Time // when the work so far will be done
	maps    map[fence]fence
	next    uintptr
	count   liveObjects

	took      func([]launch) time.Duration // of a submission; nil is no time
	sizes     []int                        // launches of each submission
	stale     bool                         // copies for reads are not made, but reported as done
	failAfter int                          // the n-th call that can run out of memory does so
	lostNow   error
	reports   error // of every fence
	closed    bool
}

type fakeWork struct {
	fence fence
	at    time.Time
	do    []func()
}

const fakeWGSL = `
struct P { n: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> b: array<f32>;
@compute @workgroup_size(1) fn main() { b[p.n] = a[p.n]; }
@compute @workgroup_size(1) fn second() { b[p.n] = a[p.n]; }`

func openFake(t *testing.T, f *fakeDriver, c Config) *Device {
	t.Helper()
	f.buffers, f.maps = map[ref][]byte{}, map[fence]fence{}
	d, err := newDevice(f, AdapterInfo{Name: "fake", Type: DiscreteGPU}, DefaultLimits(), c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (f *fakeDriver) memory() error {
	if f.failAfter > 0 {
		if f.failAfter--; f.failAfter == 0 {
			return fmt.Errorf("%w: injected", ErrMemory)
		}
	}
	return nil
}

func (f *fakeDriver) id() uintptr { f.next++; return f.next }

func (f *fakeDriver) newBuffer(size int64, _ bufferUse) (ref, error) {
	if err := f.memory(); err != nil {
		return 0, err
	}
	r := ref(f.id())
	f.buffers[r] = make([]byte, size)
	f.count.buffers++
	return r, nil
}

func (f *fakeDriver) newKernel(string, string, []layoutEntry) (kernelRefs, error) {
	if err := f.memory(); err != nil {
		return kernelRefs{}, err
	}
	f.count.kernels++
	return kernelRefs{pipeline: ref(f.id())}, nil
}

func (f *fakeDriver) newGroup(_ ref, entries []groupEntry) (ref, error) {
	for _, e := range entries {
		if f.buffers[e.buffer] == nil {
			return 0, errors.New("group of a freed buffer")
		}
	}
	if err := f.memory(); err != nil {
		return 0, err
	}
	f.count.groups++
	return ref(f.id()), nil
}

func (f *fakeDriver) freeBuffer(b ref) {
	if f.buffers[b] == nil {
		panic("buffer freed twice")
	}
	delete(f.buffers, b)
	f.count.buffers--
}
func (f *fakeDriver) freeKernel(kernelRefs) { f.count.kernels-- }
func (f *fakeDriver) freeGroup(ref)         { f.count.groups-- }

func (f *fakeDriver) write(b ref, offset int64, data []byte) error {
	if err := f.memory(); err != nil {
		return err
	}
	data = append([]byte{}, data...)
	f.pending = append(f.pending, func() { copy(f.buffers[b][offset:], data) })
	return nil
}

func (f *fakeDriver) submit(launches []launch, copies []bufferCopy) (fence, error) {
	if err := f.memory(); err != nil {
		return 0, err
	}
	w := fakeWork{fence: fence(f.id()), do: f.pending}
	f.pending = nil
	for _, c := range copies {
		if f.stale {
			break
		}
		w.do = append(w.do, func() {
			copy(f.buffers[c.to][c.toOffset:], f.buffers[c.from][c.fromOffset:c.fromOffset+c.size])
		})
	}
	if len(launches) > 0 {
		f.sizes = append(f.sizes, len(launches))
	}
	if now := time.Now(); f.free.Before(now) {
		f.free = now
	}
	if f.took != nil {
		f.free = f.free.Add(f.took(launches))
	}
	w.at = f.free
	f.work = append(f.work, w)
	f.count.fences++
	return w.fence, nil
}

func (f *fakeDriver) mapRead(ref, int64) (fence, error) {
	if err := f.memory(); err != nil {
		return 0, err
	}
	m := fence(f.id())
	f.maps[m] = f.work[len(f.work)-1].fence
	f.count.fences++
	return m, nil
}

func (f *fakeDriver) mapped(b ref, offset int64, dst []byte) error {
	copy(dst, f.buffers[b][offset:])
	return nil
}
func (f *fakeDriver) unmap(ref) error { return nil }

func (f *fakeDriver) poll() {
	for len(f.work) > 0 && !f.work[0].at.After(time.Now()) {
		for _, do := range f.work[0].do {
			do()
		}
		f.work = f.work[1:]
	}
}

func (f *fakeDriver) done(x fence) (bool, error) {
	of, isMap := f.maps[x]
	if !isMap {
		of = x
	}
	for _, w := range f.work {
		if w.fence == of {
			return false, nil
		}
	}
	f.count.fences--
	return true, f.reports
}

func (f *fakeDriver) lost() error       { return f.lostNow }
func (f *fakeDriver) close()            { f.closed = true }
func (f *fakeDriver) live() liveObjects { return f.count }

// fakeRun returns a dispatch of a kernel over two fresh buffers.
func fakeRun(t *testing.T, d *Device, entry string, cost float64) Dispatch {
	t.Helper()
	k, err := d.Kernel(KernelSource{WGSL: fakeWGSL, Entry: entry})
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.NewBuffer("a", 64)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.NewBuffer("b", 64)
	if err != nil {
		t.Fatal(err)
	}
	return Dispatch{Kernel: k, Bindings: []Binding{a.All(), b.All()}, Params: make([]byte, 4), Groups: [3]uint32{1, 1, 1}, Cost: cost}
}

func repeat(x Dispatch, n int) []Dispatch {
	list := make([]Dispatch, n)
	for i := range list {
		list[i] = x
	}
	return list
}

// Submissions stay near the budget whatever the speed of the device, once it is
// known, and the first one of a kernel goes alone.
func TestSubmissionsKeepTheBudget(t *testing.T) {
	for _, each := range []time.Duration{100 * time.Microsecond, 5 * time.Millisecond, 60 * time.Millisecond, 400 * time.Millisecond, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeDriver{took: func(l []launch) time.Duration { return time.Duration(len(l)) * each }}
			d := openFake(t, f, Config{})
			x := fakeRun(t, d, "main", 1e9)
			for range 10 { // with a look at the GPU from time to time, as in training
				if err := d.Run(t.Context(), repeat(x, 200)...); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if f.sizes[0] != 1 {
				t.Errorf("%v each: the first submission of a kernel has %d dispatches, want 1", each, f.sizes[0])
			}
			last, want := f.sizes[len(f.sizes)-2], min(maxDispatches, max(1, int(d.budget/each)))
			if last > want || last < want/2 {
				t.Errorf("%v each: submissions of %d dispatches in the end, want %d; all: %v", each, last, want, f.sizes)
			}
			// Those made before the first one was measured rest on a guess.
			for _, n := range f.sizes[1+maxFlight:] {
				if took := time.Duration(n) * each; n > 1 && took > d.budget*3/2 {
					t.Errorf("%v each: a submission of %v; all: %v", each, took, f.sizes)
				}
			}
			if err := d.Close(); err != nil || f.count != (liveObjects{}) || !f.closed {
				t.Errorf("close: %v, %+v alive", err, f.count)
			}
		})
	}
}

// A slow kernel in company of a fast one is the one that is found to be slow.
func TestPaceOfTwoKernels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDriver{}
		d := openFake(t, f, Config{})
		fast, slow := fakeRun(t, d, "main", 1e9), fakeRun(t, d, "second", 1e9)
		f.took = func(l []launch) (sum time.Duration) {
			for _, x := range l {
				if x.pipeline == slow.Kernel.refs.pipeline {
					sum += 100 * time.Millisecond
				} else {
					sum += time.Millisecond
				}
			}
			return sum
		}
		for range 30 {
			if err := d.Run(t.Context(), append(repeat(fast, 20), repeat(slow, 20)...)...); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := slow.seconds(); s < 0.05 || s > 0.2 {
			t.Errorf("the slow kernel is expected to take %v s, want about 0.1", s)
		}
		if s := fast.seconds(); s > 0.02 {
			t.Errorf("the fast kernel is expected to take %v s, want about 0.001", s)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A caller that does not look at the GPU for a while must not make it seem slow.
func TestPaceWithoutPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDriver{took: func(l []launch) time.Duration { return time.Duration(len(l)) * time.Millisecond }}
		d := openFake(t, f, Config{})
		x := fakeRun(t, d, "main", 1e7)
		for range 20 {
			if err := d.Run(t.Context(), repeat(x, 50)...); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if s := x.seconds(); s > 0.01 {
			t.Errorf("a dispatch of 1 ms is expected to take %v s", s)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStaleReadIsRefused(t *testing.T) {
	f := &fakeDriver{}
	d := openFake(t, f, Config{})
	b, err := d.NewBuffer("b", 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Read(t.Context(), b, 0, make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	f.stale = true
	err = d.Read(t.Context(), b, 0, make([]byte, 64))
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "holds read 1") {
		t.Fatalf("a read of old memory gives %v, want ErrLost", err)
	}
	if err := d.Sync(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("the device is not marked as lost: %v", err)
	}
}

func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDriver{took: func([]launch) time.Duration { return 1000 * time.Hour }}
		d := openFake(t, f, Config{HangTimeout: time.Minute})
		x := fakeRun(t, d, "main", 1)
		if err := d.Run(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 1100*time.Millisecond {
			t.Errorf("sync of a hanging device: %v after %v", err, time.Since(start))
		}
		if err := d.Sync(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("sync after the hang timeout: %v, want ErrLost", err)
		}
		if took := time.Since(start); took < 59*time.Second || took > 61*time.Second {
			t.Errorf("the hang was noticed after %v, want 1m", took)
		}
		if err := d.Close(); !errors.Is(err, ErrLost) {
			t.Errorf("close of a lost device: %v", err)
		}
		if f.closed {
			t.Error("objects that a hanging GPU uses were released")
		}
	})
}

func TestLost(t *testing.T) {
	for name, lose := range map[string]func(*fakeDriver){
		"callback": func(f *fakeDriver) { f.lostNow = fmt.Errorf("%w: injected", ErrLost) },
		"fence":    func(f *fakeDriver) { f.reports = fmt.Errorf("%w: injected", ErrLost) },
	} {
		f := &fakeDriver{}
		d := openFake(t, f, Config{})
		x := fakeRun(t, d, "main", 1)
		if err := d.Run(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		lose(f)
		calls := map[string]func() error{
			"Run":       func() error { return d.Run(t.Context(), x) },
			"Read":      func() error { return d.Read(t.Context(), x.Bindings[0].Buffer, 0, make([]byte, 4)) },
			"Write":     func() error { return d.Write(t.Context(), x.Bindings[0].Buffer, 0, make([]byte, 4)) },
			"Sync":      func() error { return d.Sync(t.Context()) },
			"NewBuffer": func() error { _, err := d.NewBuffer("n", 4); return err },
			"Close":     d.Close,
		}
		for call, do := range calls {
			if err := do(); !errors.Is(err, ErrLost) && !errors.Is(err, ErrClosed) {
				t.Errorf("%s: %s gives %v, want ErrLost", name, call, err)
			}
		}
		if err := x.Bindings[0].Buffer.Close(); err != nil {
			t.Errorf("%s: closing a buffer gives %v", name, err)
		}
	}
}

// Memory that runs out at any call gives ErrMemory, leaves the device usable and
// nothing behind.
func TestOutOfMemoryAnywhere(t *testing.T) {
	for n := 1; ; n++ {
		f := &fakeDriver{}
		d := openFake(t, f, Config{})
		f.failAfter = n
		err := outOfMemorySteps(t.Context(), d)
		failed := f.failAfter == 0
		f.failAfter = 0
		if failed && !errors.Is(err, ErrMemory) {
			t.Fatalf("call %d: error %v, want ErrMemory", n, err)
		}
		if !failed && err != nil {
			t.Fatal(err)
		}
		if err := outOfMemorySteps(t.Context(), d); err != nil {
			t.Fatalf("call %d: the device is not usable after it: %v", n, err)
		}
		if err := d.Close(); err != nil || f.count != (liveObjects{}) {
			t.Fatalf("call %d: close: %v, %+v alive", n, err, f.count)
		}
		if !failed {
			if n < 10 {
				t.Errorf("only %d calls can fail", n-1)
			}
			return
		}
	}
}

func outOfMemorySteps(ctx context.Context, d *Device) error {
	k, err := d.Kernel(KernelSource{WGSL: fakeWGSL, Entry: "main"})
	if err != nil {
		return err
	}
	for range 2 {
		a, err := d.NewBuffer("a", 64)
		if err != nil {
			return err
		}
		defer a.Close()
		b, err := d.NewBuffer("b", 64)
		if err != nil {
			return err
		}
		defer b.Close()
		if err := d.Write(ctx, a, 0, make([]byte, 8)); err != nil {
			return err
		}
		x := Dispatch{Kernel: k, Bindings: []Binding{a.All(), b.All()}, Params: make([]byte, 4), Groups: [3]uint32{1, 1, 1}}
		if err := d.Run(ctx, x, x); err != nil {
			return err
		}
		if err := d.Read(ctx, b, 0, make([]byte, 64)); err != nil {
			return err
		}
	}
	return d.Sync(ctx)
}

// Writes wait when too many of their bytes are under way.
func TestWritesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most, flight atomic.Int64
		f := &fakeDriver{took: func([]launch) time.Duration { return 10 * time.Millisecond }}
		d := openFake(t, f, Config{})
		b, err := d.NewBuffer("b", 200<<20)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- d.Write(t.Context(), b, 0, make([]byte, 200<<20)) }()
		for {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				if most.Load() > maxWriteBytes+maxUnsubmitted || flight.Load() > maxFlight {
					t.Errorf("%d MiB were under way in %d submissions", most.Load()>>20, flight.Load())
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				return
			default:
				d.mu.Lock()
				most.Store(max(most.Load(), d.queue.bytes+d.queue.unsubmitted))
				flight.Store(max(flight.Load(), int64(len(d.queue.flight))))
				d.mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		}
	})
}

// Dispatches that were run before make no new bind groups, and a program with ever
// new offsets does not fill the memory with them.
func TestGroupsAreCachedAndBounded(t *testing.T) {
	f := &fakeDriver{}
	d := openFake(t, f, Config{})
	x := fakeRun(t, d, "main", 1)
	for range 10 {
		if err := d.Run(t.Context(), repeat(x, 50)...); err != nil {
			t.Fatal(err)
		}
	}
	if f.count.groups != 1 {
		t.Errorf("%d bind groups for one dispatch", f.count.groups)
	}
	big, err := d.NewBuffer("big", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxGroups {
		x.Bindings[0] = big.Slice(int64(i%4096)*256, int64(i/4096+1)*4)
		if err := d.Run(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	if f.count.groups > maxGroups {
		t.Errorf("%d bind groups", f.count.groups)
	}
	if err := big.Close(); err != nil || f.count.groups > 1 {
		t.Errorf("%v; %d bind groups are left of a closed buffer", err, f.count.groups)
	}
	if err := d.Close(); err != nil || f.count != (liveObjects{}) {
		t.Errorf("close: %v, %+v alive", err, f.count)
	}
}
