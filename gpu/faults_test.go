package gpu_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/internal/faults"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// inProcess runs a test of this file in a process of its own whose Vulkan fails as the
// loader's rules say, and returns what it printed and how it ended. A process that a test
// of Go's would not survive is no error here.
func inProcess(t *testing.T, l *faults.Loader, name string) (output string, err error) {
	t.Helper()
	limit := time.Minute
	if sweepAll() {
		limit = 20 * time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+name+"$", "-test.v")
	c.Env = append(os.Environ(), append(l.Env(), "GPUPEFT_REQUIRE_GPU=1", "GOTRACEBACK=none")...)
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s has not ended: %s", name, out)
	}
	return string(out), err
}

// mustPass runs a test that the faults must not end.
func mustPass(t *testing.T, name string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a process")
	}
	openDevice(t, gpu.Config{}) // skips without a GPU
	out, err := inProcess(t, faults.New(t), name)
	if err != nil || !strings.Contains(out, "--- PASS: "+name) {
		t.Fatalf("%v: %s", err, out)
	}
	t.Log(out)
}

// faulty returns the loader of a process that inProcess has started; others skip.
func faulty(t *testing.T) *faults.Loader {
	l := faults.Opened(t)
	if l == nil {
		t.Skip("is run by another test, in a process of its own")
	}
	return l
}

// trainingStep loads a model, takes one training step with a LoRA, and returns the bytes
// of the LoRA. Everything is closed again, whatever happens.
func trainingStep(ctx context.Context, b tensor.Backend) (_ []byte, err error) {
	m, err := transformer.Load(ctx, b, os.DirFS(filepath.Join(golden.Root(), "llama2")), transformer.LoadOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	lora, err := peft.New(ctx, m, peft.LoRAConfig{Rank: 2, Targets: peft.Named("q_proj", "v_proj")})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lora.Close()) }()
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: 8, Train: true, Adapters: []transformer.Adapter{lora}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	trainer, err := peft.NewTrainer(ctx, r, lora, peft.TrainConfig{Steps: 1, LR: 1e-2, MaxGradNorm: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	ids := [][]int32{{1, 5, 9, 13, 2, 7, 8, 3}}
	if _, err := trainer.Step(ctx, []transformer.Batch{{IDs: ids, Labels: ids}}); err != nil {
		return nil, err
	}
	var all []byte
	for _, p := range lora.Params().List {
		data := make([]byte, p.Value.Bytes())
		if err := b.Read(ctx, p.Value, data); err != nil {
			return nil, err
		}
		all = append(all, data...)
	}
	return all, nil
}

// ownBackend opens a backend that the test closes.
func ownBackend(t *testing.T) *gpu.Backend {
	t.Helper()
	b, err := gpu.Open(t.Context(), gpu.Config{})
	must(t, err)
	return b
}

// wantTyped makes sure that an injected failure has become an error of this package.
func wantTyped(t *testing.T, what string, err error) {
	t.Helper()
	for _, kind := range []error{gpu.ErrMemory, gpu.ErrLost, gpu.ErrKernel, gpu.ErrUnavailable} {
		if errors.Is(err, kind) {
			return
		}
	}
	t.Errorf("%s: error %v, want one of this package", what, err)
}

// TestFaultsInAStep lets one call after the other of a training step fail, of every kind
// that the native library answers with an error.
func TestFaultsInAStep(t *testing.T) { mustPass(t, "TestFaultySteps") }

// TestFaultySteps is run by TestFaultsInAStep.
func TestFaultySteps(t *testing.T) {
	l := faulty(t)
	b := ownBackend(t)
	want, err := trainingStep(t.Context(), b)
	must(t, err)
	must(t, b.Close())
	t.Run("memory", func(t *testing.T) { eachCall(t, l, faults.Allocate, faults.OutOfDeviceMemory, true, want) })
	t.Run("host memory", func(t *testing.T) { eachCall(t, l, faults.Allocate, faults.OutOfHostMemory, true, want) })
	t.Run("map", func(t *testing.T) { eachCall(t, l, faults.Map, faults.MemoryMapFailed, true, want) })
	t.Run("objects", func(t *testing.T) { eachCall(t, l, faults.Object, faults.OutOfDeviceMemory, sweepAll(), want) })
	t.Run("pipelines", func(t *testing.T) { eachPipeline(t, l, want) })
}

// sweepAll says whether to let every single call fail, which takes minutes, or a selection
// of those that come after the first few.
func sweepAll() bool { return os.Getenv("GPUPEFT_SWEEP") == "all" }

// following is the number of the call that fails after the n-th.
func following(n int) int {
	if sweepAll() {
		return n + 1
	}
	return n + 1 + n/8
}

// eachCall lets the first call of a kind fail, then the second one, and so on until there
// are no more. After each failure the same device must do the step right, or another one if
// the first was lost. Fresh makes each attempt on a device of its own.
func eachCall(t *testing.T, l *faults.Loader, kind faults.Kind, result faults.Result, fresh bool, want []byte) {
	var b *gpu.Backend
	defer l.Set(kind, faults.Rule{})
	failures, lost := 0, 0
	for n := 1; ; n = following(n) {
		if b == nil {
			b = ownBackend(t)
		}
		l.Set(kind, faults.Rule{After: n, Result: result})
		got, err := trainingStep(t.Context(), b)
		if _, fired := l.Calls(kind); fired == 0 {
			must(t, err)
			break
		}
		l.Set(kind, faults.Rule{})
		if err == nil { // the native library did without
			if !bytes.Equal(got, want) {
				t.Errorf("call %d: other results", n)
			}
			continue
		}
		failures++
		wantTyped(t, fmt.Sprintf("call %d", n), err)
		if inUse := b.Memory().InUse; inUse != 0 {
			t.Errorf("call %d: %d bytes in use after it", n, inUse)
		}
		if errors.Is(err, gpu.ErrLost) {
			lost++
			if err := b.Close(); !errors.Is(err, gpu.ErrLost) {
				t.Errorf("call %d: close: %v", n, err)
			}
			b = ownBackend(t)
		}
		got, err = trainingStep(t.Context(), b)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("call %d: after the failure: %v", n, err)
		}
		if fresh {
			must(t, b.Close())
			b = nil
		}
	}
	must(t, b.Close())
	t.Logf("%d failures, %d of which lost the device", failures, lost)
	if failures == 0 {
		t.Error("nothing failed")
	}
}

// eachPipeline lets each kernel fail once to compile.
func eachPipeline(t *testing.T, l *faults.Loader, want []byte) {
	b := ownBackend(t)
	defer l.Set(faults.Pipeline, faults.Rule{})
	l.Set(faults.Pipeline, faults.Rule{After: 1, Again: 2, Result: faults.OutOfDeviceMemory})
	for failures := 0; ; failures++ {
		got, err := trainingStep(t.Context(), b)
		if err == nil {
			_, fired := l.Calls(faults.Pipeline)
			if !bytes.Equal(got, want) || failures == 0 || failures != fired {
				t.Errorf("%d errors from %d failures, or other results", failures, fired)
			}
			t.Logf("%d failures", failures)
			break
		}
		wantTyped(t, fmt.Sprintf("pipeline %d", failures+1), err)
	}
	must(t, b.Close())
}

// TestFaultsInBuffers lets memory run out at every allocation of large buffers, which the
// native library doesn't take from a pool.
func TestFaultsInBuffers(t *testing.T) { mustPass(t, "TestFaultyBuffers") }

// TestFaultyBuffers is run by TestFaultsInBuffers.
func TestFaultyBuffers(t *testing.T) {
	l := faulty(t)
	const size = 40 << 20
	data := bytes.Repeat([]byte{1, 2, 3, 4}, size/4)
	d, err := gpu.OpenDevice(t.Context(), gpu.Config{})
	must(t, err)
	round := func() error {
		var buffers [2]*gpu.Buffer
		for i := range buffers {
			var err error
			if buffers[i], err = d.NewBuffer("large", size); err != nil {
				return err
			}
			defer buffers[i].Close()
			if err := d.Write(t.Context(), buffers[i], 0, data); err != nil {
				return err
			}
		}
		got := make([]byte, size)
		if err := d.Read(t.Context(), buffers[1], 0, got); err != nil {
			return err
		}
		if !bytes.Equal(got, data) {
			t.Error("other bytes were read than were written")
		}
		return nil
	}
	failures := 0
	for n := 1; ; n++ {
		l.Set(faults.Allocate, faults.Rule{After: n, Result: faults.OutOfDeviceMemory})
		err := round()
		if _, fired := l.Calls(faults.Allocate); fired == 0 {
			must(t, err)
			break
		}
		if failures++; !errors.Is(err, gpu.ErrMemory) {
			t.Errorf("allocation %d: error %v, want %v", n, err, gpu.ErrMemory)
		}
	}
	l.Set(faults.Allocate, faults.Rule{})
	must(t, d.Sync(t.Context()))
	if m := d.Memory(); m.Bytes != 0 {
		t.Errorf("%d bytes are left", m.Bytes)
	}
	must(t, d.Close())
	t.Logf("%d failures", failures)
}

// TestFaultsAtOpening lets every call fail with which a device is opened.
func TestFaultsAtOpening(t *testing.T) { mustPass(t, "TestFaultyOpening") }

// TestFaultyOpening is run by TestFaultsAtOpening.
func TestFaultyOpening(t *testing.T) {
	l := faulty(t)
	for name, kind := range map[string]faults.Kind{"device": faults.Device, "memory": faults.Allocate, "object": faults.Object} {
		failures := 0
		for n := 1; ; n++ {
			l.Set(kind, faults.Rule{After: n, Result: faults.OutOfDeviceMemory})
			d, err := gpu.OpenDevice(t.Context(), gpu.Config{})
			if _, fired := l.Calls(kind); fired == 0 {
				must(t, err)
				must(t, d.Close())
				break
			}
			if failures++; !errors.Is(err, gpu.ErrUnavailable) {
				t.Errorf("%s %d: error %v, want %v", name, n, err, gpu.ErrUnavailable)
			}
		}
		l.Set(kind, faults.Rule{})
		t.Logf("%s: %d failures", name, failures)
		if failures == 0 {
			t.Errorf("%s: nothing failed", name)
		}
	}
}

// Where the native library ends the process, that must come at once, whichever submission
// or wait fails, and never after wrong results.
func TestLostDeviceEndsTheProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	openDevice(t, gpu.Config{})
	l := faults.New(t)
	for name, kind := range map[string]faults.Kind{"submit": faults.Submit, "state": faults.State, "commands": faults.Commands} {
		for n := 1; ; n = following(following(4 * n)) {
			l.Set(kind, faults.Rule{After: n, Result: faults.DeviceLost})
			began := time.Now()
			out, err := inProcess(t, l, "TestOneFaultyStep")
			_, fired := l.Calls(kind)
			l.Set(kind, faults.Rule{})
			if fired == 0 {
				if err != nil {
					t.Fatalf("without a fault: %v: %s", err, out)
				}
				break
			}
			if err == nil || strings.Contains(out, stepDone) {
				t.Errorf("%s %d: went on: %s", name, n, out)
			}
			_, reason, _ := strings.Cut(out, "panicked at ")
			if reason == "" {
				reason = out
			}
			t.Logf("%s %d: %v after %v: %.500q", name, n, err, time.Since(began), reason)
		}
	}
}

const stepDone = "the step is done"

// TestOneFaultyStep is run by TestLostDeviceEndsTheProcess.
func TestOneFaultyStep(t *testing.T) {
	faulty(t)
	b := ownBackend(t)
	_, err := trainingStep(t.Context(), b)
	must(t, err)
	t.Log(stepDone)
	must(t, b.Close())
}

// The native library takes a wait that timed out, which is one of five seconds, for work
// that is done. This package must never make it wait.
func TestTimeouts(t *testing.T) { mustPass(t, "TestEarlyTimeouts") }

// TestEarlyTimeouts is run by TestTimeouts: all waits time out at once.
func TestEarlyTimeouts(t *testing.T) {
	l := faulty(t)
	b := ownBackend(t)
	want, err := trainingStep(t.Context(), b)
	must(t, err)
	l.Set(faults.Wait, faults.Rule{After: 1, Again: 1, Result: faults.Timeout})
	got, err := trainingStep(t.Context(), b)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("other results, or %v", err)
	}
	d := b.Device()
	x, k := newBuffer(t, d, "x", 4*8*65535), kernel(t, d, "slow", slowKernel)
	one := gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(3000), Groups: [3]uint32{400, 1, 1}, LoopSteps: 3000}
	for round := range 5 {
		must(t, d.Run(t.Context(), one))
		for i, v := range readWords(t, d, x, 0, 8*400) {
			if f := math.Float32frombits(v); f != float32(round+1) {
				t.Fatalf("value %d is %v after %d rounds", i, f, round+1)
			}
		}
	}
	if calls, _ := l.Calls(faults.Wait); calls != 0 {
		t.Errorf("the driver was asked to wait %d times", calls)
	}
	must(t, b.Close())
}

// Without a driver there is a clear error.
func TestNoDriver(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	l := faults.New(t)
	for _, name := range []string{"VK_DRIVER_FILES", "VK_ICD_FILENAMES"} {
		t.Setenv(name, filepath.Join(t.TempDir(), "none.json"))
	}
	if out, err := inProcess(t, l, "TestWithoutDriver"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestWithoutDriver is run by TestNoDriver.
func TestWithoutDriver(t *testing.T) {
	faulty(t)
	_, err := gpu.OpenDevice(t.Context(), gpu.Config{})
	wantError(t, err, gpu.ErrUnavailable, "install a driver")
	_, err = gpu.Adapters(t.Context())
	wantError(t, err, gpu.ErrUnavailable)
}
