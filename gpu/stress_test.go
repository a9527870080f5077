package gpu_test

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
)

// Reads must survive garbage collections between request and completion: the
// native library keeps pointers over that time.
func TestReadsUnderGarbageCollection(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k, x := kernel(t, d, "add", addKernel), newBuffer(t, d, "x", 1024)
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	defer collector.Wait()
	defer close(stop)
	for i := range uint32(500) {
		must(t, d.Run(t.Context(), gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 256), Groups: [3]uint32{4, 1, 1}}))
		if got := readWords(t, d, x, 0, 256); got[0] != i+1 || got[255] != i+1 {
			t.Fatalf("read %d gives %d and %d, want %d", i, got[0], got[255], i+1)
		}
	}
}

func TestGoroutinesShareADevice(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			if err := oneOfMany(t, d, g); err != nil {
				t.Errorf("goroutine %d: %v", g, err)
			}
		})
	}
	all.Wait()
}

// oneOfMany makes its own buffers and kernels, runs, reads, and makes errors that
// must stay its own.
func oneOfMany(t *testing.T, d *gpu.Device, g int) error {
	ctx := t.Context()
	source := fmt.Sprintf("const G: u32 = %du;\n%s", g, addKernel)
	for i := range 40 {
		k, err := d.Kernel(gpu.KernelSource{Label: "own", WGSL: source, Entry: "main"})
		if err != nil {
			return err
		}
		if _, err := d.Kernel(gpu.KernelSource{WGSL: source + "}", Entry: "main"}); err == nil {
			return fmt.Errorf("a bad kernel was accepted")
		}
		x, err := d.NewBuffer("own", 4096)
		if err != nil {
			return err
		}
		if err := d.Write(ctx, x, 0, words(uint32(g), uint32(i))); err != nil {
			return err
		}
		one := gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(uint32(g), 2), Groups: [3]uint32{1, 1, 1}}
		if err := d.Run(ctx, one, one, one); err != nil {
			return err
		}
		got := make([]byte, 12)
		if err := d.Read(ctx, x, 0, got); err != nil {
			return err
		}
		if want := words(uint32(4*g), uint32(i+3*g), 0); string(got) != string(want) {
			return fmt.Errorf("round %d: bytes %v, want %v", i, got, want)
		}
		if err := x.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Closing the device under the feet of other goroutines gives them errors.
func TestCloseWhileInUse(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k := kernel(t, d, "add", addKernel)
	var all sync.WaitGroup
	for range 4 {
		x := newBuffer(t, d, "x", 1024)
		all.Go(func() {
			for {
				err := d.Run(t.Context(), gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 2), Groups: [3]uint32{1, 1, 1}})
				if err == nil {
					err = d.Read(t.Context(), x, 0, make([]byte, 1024))
				}
				if err != nil {
					wantClosed(t, err)
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	must(t, d.Close())
	all.Wait()
}

func wantClosed(t *testing.T, err error) {
	defer func() { _ = recover() }() // FailNow of another goroutine
	wantError(t, err, gpu.ErrClosed)
}

// A read after slow work gives the result of that work. The native library has been
// seen to report work as finished after five seconds, whatever its state; the long
// form of the test, with GPUPEFT_LONG_TESTS=1, is slower than that.
func TestReadAfterSlowWork(t *testing.T) {
	want := 300 * time.Millisecond
	if os.Getenv("GPUPEFT_LONG_TESTS") == "1" {
		want = 12 * time.Second
	}
	d := openDevice(t, gpu.Config{})
	k, x := kernel(t, d, "slow", slowKernel), newBuffer(t, d, "x", 4*8*65535)
	one := gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(50000), Groups: [3]uint32{16, 1, 1}, LoopSteps: 50000}
	must(t, d.Run(t.Context(), one))
	must(t, d.Sync(t.Context()))
	took := time.Duration(0)
	for rounds := float32(2); took < want; rounds++ {
		start := time.Now()
		must(t, d.Run(t.Context(), one)) // one dispatch, which cannot be cut
		last := math.Float32frombits(readWords(t, d, x, 0, 1)[0])
		took = time.Since(start)
		if last != rounds {
			t.Fatalf("after %v of work the counter is %v, want %v", took, last, rounds)
		}
		next := 1.2 * float64(want) / float64(took)
		one.Groups[0] = uint32(min(float64(one.Groups[0])*min(next, 20)+1, 65535))
		if one.Groups[0] == 65535 {
			break // a GPU that is too fast for this test
		}
	}
	t.Logf("the longest dispatch took %v", took)
}

// Opening and closing devices must leave nothing behind.
func TestOpenCloseCycles(t *testing.T) {
	cycle := func() {
		d, err := gpu.OpenDevice(t.Context(), gpu.Config{})
		must(t, err)
		x, k := newBuffer(t, d, "x", 1<<20), kernel(t, d, "add", addKernel)
		must(t, d.Write(t.Context(), x, 0, make([]byte, 1<<20)))
		must(t, d.Run(t.Context(), gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 2), Groups: [3]uint32{1, 1, 1}}))
		if got := readWords(t, d, x, 0, 1)[0]; got != 1 {
			t.Fatalf("result %d, want 1", got)
		}
		must(t, d.Close())
		if live := d.Live(); live != "buffers 0, kernels 0, groups 0, fences 0" {
			t.Fatalf("after Close there are still: %s", live)
		}
	}
	openDevice(t, gpu.Config{})
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for range 10 { // what the libraries keep once
		cycle()
	}
	goroutines, before := runtime.NumGoroutine(), residentMiB(t)
	for range rounds {
		cycle()
	}
	after := residentMiB(t)
	t.Logf("resident memory: %d MiB before, %d MiB after %d rounds", before, after, rounds)
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, there were %d", n, goroutines)
	}
	// The native library keeps some 50 KiB of each device; a leak of our own, say of
	// the buffer, would be 1 MiB each.
	if after-before > rounds/2 {
		t.Errorf("resident memory grew from %d to %d MiB", before, after)
	}
}

// residentMiB is the memory of this process, 0 where it cannot be told.
func residentMiB(t *testing.T) int {
	debug.FreeOSMemory() // so that the heap of earlier tests does not blur the difference
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() >> 20
}

// Buffers that are written and closed without ever being used must not leave their
// bytes in the native library.
func TestWriteAndCloseDoesNotLeak(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	data := make([]byte, 1<<20)
	round := func() {
		x := newBuffer(t, d, "x", int64(len(data)))
		must(t, d.Write(t.Context(), x, 0, data))
		must(t, x.Close())
	}
	for range 50 {
		round()
	}
	before := residentMiB(t)
	for range 300 {
		round()
	}
	if after := residentMiB(t); after-before > 64 {
		t.Errorf("resident memory grew from %d to %d MiB", before, after)
	}
	must(t, d.Sync(t.Context()))
	if m := d.Memory(); m.Buffers != 0 {
		t.Errorf("%d closed buffers are still there", m.Buffers)
	}
}
