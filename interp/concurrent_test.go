package interp_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// use is one use of a model by one goroutine.
type use func(ctx context.Context, m *transformer.Model, ids []int32) (any, error)

// uses are what may go on at the same time.
var uses = map[string]use{
	"forward": func(ctx context.Context, m *transformer.Model, ids []int32) (_ any, err error) {
		r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: len(ids)})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		if err := r.Forward(ctx, transformer.Batch{IDs: [][]int32{ids}}); err != nil {
			return nil, err
		}
		return r.Logits(ctx, r.LastRows())
	},
	"capture": func(ctx context.Context, m *transformer.Model, ids []int32) (any, error) {
		trace, err := interp.Capture(ctx, m, [][]int32{ids}, interp.Options{Hooks: []string{"*hook_pattern", "*hook_resid_post"}})
		if err != nil {
			return nil, err
		}
		return trace.Activations, nil
	},
	"generate": func(ctx context.Context, m *transformer.Model, ids []int32) (_ any, err error) {
		r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: len(ids), Context: len(ids) + 4})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		var out []int32
		for id, err := range r.Generate(ctx, ids, transformer.Generation{MaxTokens: 4}) {
			if err != nil {
				return nil, err
			}
			out = append(out, id)
		}
		return out, nil
	},
}

// TestConcurrentUse has 64 goroutines use one model in all ways, and some of them cancelled
// at random times. Whatever isn't cancelled gives the bits that it gives alone; a cancelled
// use comes back within 100 ms, on top of what the scheduler makes each goroutine wait for
// its turn; nothing is left. GPUPEFT_STRESS says for how long, such as 2m.
func TestConcurrentUse(t *testing.T) {
	duration := time.Second
	if d, err := time.ParseDuration(os.Getenv("GPUPEFT_STRESS")); err == nil {
		duration = d
	}
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		m := golden.Load(t, "llama2").Model(t, b)
		var inputs [][]int32
		want := map[string]any{}
		key := func(name string, i int) string { return fmt.Sprint(name, i) }
		for i := range 4 {
			ids := make([]int32, 5+3*i)
			for j := range ids {
				ids[j] = int32(1 + (7*i+5*j)%60)
			}
			inputs = append(inputs, ids)
			for name, use := range uses {
				result, err := use(t.Context(), m, ids)
				if err != nil {
					t.Fatal(err)
				}
				want[key(name, i)] = result
			}
		}
		memory, goroutines := b.Memory().InUse, runtime.NumGoroutine()
		var all sync.WaitGroup
		var done, cancelled, slowest, idle atomic.Int64
		until := time.Now().Add(duration)
		all.Go(func() { // a goroutine that only waits for its context
			for time.Now().Before(until) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				<-ctx.Done()
				raise(&idle, lateness(ctx))
				cancel()
			}
		})
		for g := range 64 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(g), 1))
				for time.Now().Before(until) && !t.Failed() {
					for name, use := range uses { // in random order
						i := random.IntN(len(inputs))
						ctx, cancel := t.Context(), context.CancelFunc(func() {})
						if random.IntN(4) == 0 {
							ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(20_000))*time.Microsecond)
						}
						result, err := use(ctx, m, inputs[i])
						switch {
						case err == nil && reflect.DeepEqual(result, want[key(name, i)]):
							done.Add(1)
						case err != nil && errors.Is(err, ctx.Err()):
							cancelled.Add(1)
							raise(&slowest, lateness(ctx))
						default:
							t.Errorf("%s of input %d: %v, or other results than alone", name, i, err)
						}
						cancel()
					}
				}
			})
		}
		all.Wait()
		if err := b.Sync(t.Context()); err != nil {
			t.Error(err)
		}
		t.Logf("%d uses were right, %d cancelled, the slowest of which came back after %v; one with nothing to do after %v",
			done.Load(), cancelled.Load(), time.Duration(slowest.Load()), time.Duration(idle.Load()))
		if most := 100*time.Millisecond + 2*time.Duration(idle.Load()); time.Duration(slowest.Load()) > most { // woken, and once more on the way out
			t.Errorf("a cancelled use took %v to come back, more than %v", time.Duration(slowest.Load()), most)
		}
		if done.Load() == 0 || cancelled.Load() == 0 {
			t.Error("too little has happened")
		}
		if now := b.Memory().InUse; now != memory {
			t.Errorf("%d bytes in use, %d before", now, memory)
		}
		for range 100 { // the last ones may be about to end
			if runtime.NumGoroutine() <= goroutines {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
	})
}

// lateness is how long ago a context ended, in nanoseconds.
func lateness(ctx context.Context) int64 {
	deadline, _ := ctx.Deadline()
	return int64(time.Since(deadline))
}

// raise sets most to n, if that is more.
func raise(most *atomic.Int64, n int64) {
	for old := most.Load(); n > old && !most.CompareAndSwap(old, n); {
		old = most.Load()
	}
}

// TestCloseDuringUse closes a model, or the backend below it, while goroutines use it in all
// ways: each use is right or an error that wraps ErrClosed, and nothing is left.
func TestCloseDuringUse(t *testing.T) {
	open := map[string]func() (tensor.Backend, error){
		"cpu": func() (tensor.Backend, error) { return tensor.NewCPU(0), nil },
		"gpu": func() (tensor.Backend, error) { return gpu.Open(t.Context(), gpu.Config{}) },
	}
	for device, open := range open {
		for _, what := range []string{"model", "backend"} {
			t.Run(device+"/"+what, func(t *testing.T) {
				if device == "gpu" {
					backends.GPU(t) // skips where there is none
				}
				b, err := open()
				if err != nil {
					t.Fatal(err)
				}
				m, err := transformer.Load(t.Context(), b, os.DirFS(golden.Load(t, "llama2").Dir), transformer.LoadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				ids := []int32{1, 5, 9, 13}
				want := map[string]any{}
				for name, use := range uses {
					if want[name], err = use(t.Context(), m, ids); err != nil {
						t.Fatal(err)
					}
				}
				var all sync.WaitGroup
				var right atomic.Int64
				for range 16 {
					all.Go(func() {
						for {
							for name, use := range uses {
								result, err := use(t.Context(), m, ids)
								switch {
								case errors.Is(err, tensor.ErrClosed):
									return
								case err != nil || !reflect.DeepEqual(result, want[name]):
									t.Errorf("%s: %v, or other results than alone", name, err)
									return
								}
								right.Add(1)
							}
						}
					})
				}
				time.Sleep(100 * time.Millisecond)
				if what == "model" {
					err = m.Close()
				} else {
					err = b.Close()
				}
				all.Wait()
				if err := errors.Join(err, m.Close()); err != nil {
					t.Error(err)
				}
				if now := b.Memory().InUse; now != 0 {
					t.Errorf("%d bytes are left", now)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
				t.Logf("%d uses were right", right.Load())
			})
		}
	}
}
