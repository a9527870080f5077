package gpu

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gpupeft/gpupeft/tensor"
)

// A Backend runs the operations of package tensor on a GPU. It implements
// [tensor.Backend] and is safe for concurrent use.
type Backend struct {
	dev    *Device
	info   AdapterInfo
	limits Limits
	tune   tuning
	cpuOps []string // Config.OnCPU

	kernels programCache
	profile profile
	usage   usage
	closed  atomic.Bool

	running chan struct{} // holds one token while Run records and submits
	scratch *Buffer       // of Run: partial results of one operation, see recorder.partial
}

var _ tensor.Backend = (*Backend)(nil)

// Open opens an adapter as a backend for tensors. Errors are those of OpenDevice;
// above all errors.Is(err, ErrUnavailable) where there is no GPU.
func Open(ctx context.Context, c Config) (*Backend, error) {
	dev, err := OpenDevice(ctx, c)
	if err != nil {
		return nil, err
	}
	return newBackend(dev, c)
}

func newBackend(dev *Device, c Config) (*Backend, error) {
	b := &Backend{dev: dev, info: dev.Info(), limits: dev.Limits(), cpuOps: c.OnCPU, running: make(chan struct{}, 1)}
	var err error
	if b.tune, err = tuningFor(b.info.Type, b.limits, c.Tiles); err != nil {
		return nil, closeAfter(dev, err)
	}
	return b, nil
}

func closeAfter(dev *Device, err error) error {
	if e := dev.Close(); e != nil {
		return fmt.Errorf("%w (and closing the device: %w)", err, e)
	}
	return err
}

// Device returns the device that the backend runs on.
func (b *Backend) Device() *Device { return b.dev }

// Info implements tensor.Backend.
func (b *Backend) Info() tensor.Info {
	return tensor.Info{Kind: "gpu", Name: b.info.Name, Driver: b.info.Driver, API: b.info.Backend, Type: string(b.info.Type)}
}

// Limits implements tensor.Backend.
func (b *Backend) Limits() tensor.Limits {
	return tensor.Limits{MaxTensorBytes: b.limits.BufferSize, MaxBindingBytes: b.bindingSize(), Align: OffsetAlignment}
}

// bindingSize is the most that one kernel sees of a tensor, as a multiple of the
// alignment of views.
func (b *Backend) bindingSize() int64 {
	return min(b.limits.BindingSize, b.limits.BufferSize) / OffsetAlignment * OffsetAlignment
}

// Memory implements tensor.Backend. It counts tensors; what the device holds for
// kernels besides is in the Memory of [Backend.Device].
func (b *Backend) Memory() tensor.Memory {
	b.usage.mu.Lock()
	defer b.usage.mu.Unlock()
	return b.usage.Memory
}

// Sync implements tensor.Backend.
func (b *Backend) Sync(ctx context.Context) error { return backendError(b.dev.Sync(ctx)) }

// Close implements tensor.Backend.
func (b *Backend) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	return b.dev.Close()
}

// profile remembers the work given to each kernel, to set it beside the times that
// the device measures.
type profile struct {
	mu   sync.Mutex
	on   bool
	work map[string]work // by label of dispatches
	base map[string]Timing
}

type work struct {
	calls int
	flops float64
}

// Profile implements tensor.Backend. While it is on, every dispatch is waited for
// on its own.
func (b *Backend) Profile(on bool) {
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	b.dev.SetTiming(on)
	b.profile.on = on
	if !on {
		return
	}
	b.profile.work = map[string]work{}
	b.profile.base = map[string]Timing{}
	for _, t := range b.dev.Timings() {
		b.profile.base[t.Label] = t
	}
}

func (b *Backend) note(ds []Dispatch) {
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	if !b.profile.on {
		return
	}
	for _, d := range ds {
		w := b.profile.work[d.label()]
		b.profile.work[d.label()] = work{w.calls + 1, w.flops + d.Cost}
	}
}

// Timings implements tensor.Backend. The device doesn't time the first dispatch of
// a kernel, so Flops is the mean of the dispatches given times those timed.
func (b *Backend) Timings() []tensor.Timing {
	b.profile.mu.Lock()
	defer b.profile.mu.Unlock()
	var all []tensor.Timing
	for _, t := range b.dev.Timings() {
		w, base := b.profile.work[t.Label], b.profile.base[t.Label]
		calls := int(t.Calls - base.Calls)
		if calls <= 0 || w.calls == 0 {
			continue
		}
		all = append(all, tensor.Timing{
			Kernel: t.Label,
			Calls:  calls,
			Total:  t.Total - base.Total,
			Flops:  w.flops / float64(w.calls) * float64(calls),
		})
	}
	return all
}
