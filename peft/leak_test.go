package peft_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// leakCycles is how often a backend is opened, a model tuned on it, and all closed.
const leakCycles = 100

// TestNothingLeaks: a host that loads, tunes and closes again and again ends with
// the goroutines and the memory that it began with.
func TestNothingLeaks(t *testing.T) {
	t.Run("cpu", func(t *testing.T) {
		testLeaks(t, func() (tensor.Backend, error) { return tensor.NewCPU(2), nil })
	})
	t.Run("gpu", func(t *testing.T) {
		backends.GPU(t) // skips where there is none
		testLeaks(t, func() (tensor.Backend, error) { return gpu.Open(context.Background(), gpu.Config{}) })
	})
}

func testLeaks(t *testing.T, open func() (tensor.Backend, error)) {
	g := golden.Load(t, "llama2")
	batch, width := g.Batch("")
	cycle := func() error {
		b, err := open()
		if err != nil {
			return err
		}
		m, err := transformer.Load(t.Context(), b, os.DirFS(g.Dir), transformer.LoadOptions{})
		if err != nil {
			return err
		}
		a, err := peft.New(t.Context(), m, peft.LoRAConfig{})
		if err != nil {
			return err
		}
		r, err := m.NewRun(transformer.RunOptions{Batch: 2, Length: width, Train: true, Adapters: []transformer.Adapter{a}})
		if err != nil {
			return err
		}
		for _, err := range peft.Train(t.Context(), r, a, repeat(batch), peft.TrainConfig{Steps: 2, LR: 1e-3}) {
			if err != nil {
				return err
			}
		}
		err = errors.Join(r.Close(), a.Close(), m.Close())
		if mem := b.Memory(); mem.InUse != 0 || mem.Tensors != 0 {
			t.Errorf("%d tensors of %d bytes are left", mem.Tensors, mem.InUse)
		}
		return errors.Join(err, b.Close())
	}
	if err := cycle(); err != nil { // what is made once per process isn't a leak
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for range leakCycles - 1 {
		if err := cycle(); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 { // goroutines end a moment after what they waited for
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after %d cycles", before, runtime.NumGoroutine(), leakCycles)
}
