package gpu

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// calls are the calls of a device that wait.
func calls(d *Device, x Dispatch) map[string]func(context.Context) error {
	b := x.Bindings[1].Buffer
	return map[string]func(context.Context) error{
		"Run":   func(ctx context.Context) error { return d.Run(ctx, repeat(x, 10)...) },
		"Read":  func(ctx context.Context) error { return d.Read(ctx, b, 0, make([]byte, 4)) },
		"Write": func(ctx context.Context) error { return d.Write(ctx, b, 0, make([]byte, 4)) },
		"Sync":  d.Sync,
	}
}

// ended makes sure that a call returned when its context ended, or at most so much later.
func ended(t *testing.T, name string, ctx context.Context, err error, most time.Duration) {
	t.Helper()
	deadline, _ := ctx.Deadline()
	if late := time.Since(deadline); !errors.Is(err, context.DeadlineExceeded) || late > most {
		t.Errorf("%s: %v, %v after its context ended", name, err, late)
	}
}

// A call whose context ends doesn't wait until another one gives the device free.
func TestCancelWhileLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openFake(t, &fakeDriver{}, Config{})
		x := fakeRun(t, d, "main", 1)
		d.mu.Lock()
		for name, call := range calls(d, x) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			ended(t, name, ctx, call(ctx), 0)
			cancel()
		}
		d.mu.Unlock()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Of many that wait for slow work, one looks after the GPU. Each comes back within one pause
// of that one when its own context ends, and the others go on.
func TestCancelAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDriver{took: func([]launch) time.Duration { return 10 * time.Second }}
		d := openFake(t, f, Config{HangTimeout: time.Hour})
		x := fakeRun(t, d, "main", 1)
		for range maxFlight {
			if err := d.Run(t.Context(), x); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for i := range 64 {
			for name, call := range calls(d, x) {
				if name == "Write" { // has nothing to wait for
					continue
				}
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i)*time.Millisecond)
					defer cancel()
					ended(t, name, ctx, call(ctx), maxPause)
				})
			}
		}
		all.Wait()
		if err := d.Sync(t.Context()); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Those that wait end with an error when the device is closed or lost.
func TestWaitersSeeTheEnd(t *testing.T) {
	for name, end := range map[string]func(d *Device, f *fakeDriver) error{
		"closed": func(d *Device, _ *fakeDriver) error { return d.Close() },
		"lost": func(d *Device, f *fakeDriver) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			f.lostNow = ErrLost
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDriver{took: func([]launch) time.Duration { return time.Second }}
				d := openFake(t, f, Config{})
				x := fakeRun(t, d, "main", 1)
				if err := d.Run(t.Context(), x); err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() {
						if err := d.Sync(t.Context()); !errors.Is(err, ErrClosed) && !errors.Is(err, ErrLost) {
							t.Errorf("a call that waited: %v", err)
						}
					})
				}
				time.Sleep(10 * time.Millisecond)
				if err := end(d, f); err != nil {
					t.Error(err)
				}
				all.Wait()
			})
		})
	}
}
