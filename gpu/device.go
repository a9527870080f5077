package gpu

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// A Device is an open GPU. Its methods may be called by several goroutines at once.
type Device struct {
	info        AdapterInfo
	limits      Limits
	memoryLimit int64
	budget      time.Duration
	hang        time.Duration
	log         *slog.Logger
	close       func() error  // shutdown, once
	watch       chan struct{} // holds a value while a goroutine polls for all that wait

	// mu guards everything below and is held around every call of drv. It is never
	// held while waiting for the GPU.
	mu     lock
	drv    driver
	closed bool
	lost   error // why the device no longer works
	lastID uint64
	// progress is closed, and replaced, when work was seen to be finished.
	progress chan struct{}

	memory  Memory
	buffers map[*Buffer]struct{} // open ones
	retired []*Buffer            // closed ones that the GPU may still use
	kernels map[kernelKey]*Kernel
	groups  groupCache

	queue  queue
	params params
	reads  reads
	timing timing
}

// The zero values of Config stand for these.
const (
	defaultBudget = 500 * time.Millisecond
	defaultHang   = 2 * time.Minute
)

// OpenDevice opens an adapter. The error is ErrUnavailable if there is none that
// fits Config.Adapter or it does not work, ErrLimit if Config.Limits are above the
// adapter's.
func OpenDevice(ctx context.Context, c Config) (*Device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, err := findAdapters()
	if err != nil {
		return nil, err
	}
	defer found.release()
	infos := found.infos()
	i, err := choose(infos, c.Adapter)
	if err != nil {
		return nil, err
	}
	limits, err := lowered(found.limits(i), c.Limits)
	if err != nil {
		return nil, fmt.Errorf("%w on %s", err, infos[i].Name)
	}
	drv, err := found.open(i, limits)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", infos[i].Name, err)
	}
	return newDevice(drv, infos[i], limits, c)
}

// newDevice makes a device of an open driver.
func newDevice(drv driver, info AdapterInfo, limits Limits, c Config) (*Device, error) {
	d := &Device{
		info: info, limits: limits, mu: newLock(), memoryLimit: c.MemoryLimit, budget: c.SubmitBudget, hang: c.HangTimeout, log: c.Logger, drv: drv,
		buffers: map[*Buffer]struct{}{}, kernels: map[kernelKey]*Kernel{}, groups: groupCache{byKey: map[string]*group{}},
		timing: timing{on: c.Timing, byLabel: map[string]*Timing{}}, watch: make(chan struct{}, 1), progress: make(chan struct{}),
	}
	if d.budget <= 0 {
		d.budget = defaultBudget
	}
	if d.hang <= 0 {
		d.hang = defaultHang
	}
	if d.log == nil {
		d.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	d.close = sync.OnceValue(d.shutdown)
	if err := d.params.open(drv); err != nil {
		drv.close()
		return nil, fmt.Errorf("%w: %s has no memory for the parameters of kernels: %w", ErrUnavailable, info.Name, err)
	}
	return d, nil
}

// Info describes the adapter of the device.
func (d *Device) Info() AdapterInfo { return d.info }

// Limits returns what the device allows.
func (d *Device) Limits() Limits { return d.limits }

// Memory counts the buffers made by NewBuffer.
func (d *Device) Memory() Memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.poll()
	}
	return d.memory
}

// usable returns why the device cannot be used, nil if it can.
func (d *Device) usable() error {
	if d.closed {
		return fmt.Errorf("%w: device %s", ErrClosed, d.info.Name)
	}
	return d.lost
}

// fail marks the device as lost.
func (d *Device) fail(err error) {
	if d.lost == nil {
		d.lost = err
		d.wake()
		d.log.Error("gpu: device lost", "device", d.info.Name, "reason", err)
	}
}

// Sync waits until all work submitted so far is done.
func (d *Device) Sync(ctx context.Context) error {
	var last uint64
	err := d.wait(ctx, func() (bool, error) {
		if d.queue.unsubmitted > 0 {
			if !d.room() {
				return false, nil
			}
			if err := d.flush(); err != nil {
				return false, err
			}
		}
		last = d.queue.submitted
		return true, nil
	})
	if err == nil {
		err = d.wait(ctx, func() (bool, error) { return d.queue.completed >= last, nil })
	}
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// Close waits for the work under way and releases everything that the device
// holds. Closing twice does nothing. If the device was lost, its native objects
// cannot be released safely: they stay until the process ends, and the error is
// ErrLost.
func (d *Device) Close() error { return d.close() }

func (d *Device) shutdown() error {
	d.mu.Lock()
	d.closed = true // from here on all other calls return ErrClosed
	d.wake()
	d.mu.Unlock()
	for pause := newBackoff(); !d.idle(); {
		pause.sleep()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost != nil {
		return d.lost
	}
	d.groups.drop(d.drv)
	for _, k := range d.kernels {
		d.drv.freeKernel(k.refs)
	}
	for b := range d.buffers {
		d.release(b)
	}
	for _, b := range d.retired {
		d.release(b)
	}
	d.kernels, d.buffers, d.retired = nil, nil, nil
	d.reads.close(d.drv)
	d.params.close(d.drv)
	d.drv.close()
	return nil
}

// idle reports whether the GPU uses nothing of the device any more, or never will
// tell. It submits the writes that were not submitted: the native library would
// keep their bytes for ever.
func (d *Device) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.poll()
	if d.lost != nil {
		return true
	}
	if d.queue.unsubmitted > 0 && d.room() {
		if err := d.flush(); err != nil {
			d.fail(err)
		}
		return d.lost != nil
	}
	return d.queue.unsubmitted == 0 && len(d.queue.flight) == 0 && len(d.reads.open) == 0
}
