package gpu

import "fmt"

// A Buffer is a piece of GPU memory that kernels can read and write.
type Buffer struct {
	dev   *Device
	id    uint64
	label string
	size  int64

	// Guarded by dev.mu.
	ref     ref
	closed  bool
	lastUse uint64          // number of the last submission that uses the buffer or carries a write to it
	groups  map[string]bool // keys of the cached bind groups that hold it
}

// NewBuffer makes a buffer of size bytes, all of them zero. The size must be
// positive and a multiple of 4. The label stands in errors. Errors are ErrLimit,
// ErrMemory, ErrArgument, ErrClosed and ErrLost.
func (d *Device) NewBuffer(label string, size int64) (*Buffer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return nil, err
	}
	switch {
	case size <= 0 || size%4 != 0:
		return nil, fmt.Errorf("%w: buffer %q: size %d is not a positive multiple of 4", ErrArgument, label, size)
	case size > d.limits.BufferSize:
		return nil, fmt.Errorf("%w: buffer %q: %d bytes, the limit is %d; split it", ErrLimit, label, size, d.limits.BufferSize)
	}
	d.poll() // releases closed buffers
	if d.lost != nil {
		return nil, d.lost
	}
	if d.memoryLimit > 0 && size > d.memoryLimit-d.memory.Bytes {
		return nil, fmt.Errorf("%w: buffer %q: %d bytes on top of the %d in use, Config.MemoryLimit is %d", ErrMemory, label, size, d.memory.Bytes, d.memoryLimit)
	}
	r, err := d.drv.newBuffer(size, storageUse)
	if err != nil {
		return nil, fmt.Errorf("buffer %q of %d bytes: %w", label, size, err)
	}
	d.lastID++
	b := &Buffer{dev: d, id: d.lastID, label: label, size: size, ref: r}
	d.buffers[b] = struct{}{}
	d.memory.Bytes += size
	d.memory.Buffers++
	d.memory.Peak = max(d.memory.Peak, d.memory.Bytes)
	return b, nil
}

// Label returns the label that the buffer was made with.
func (b *Buffer) Label() string { return b.label }

// Size returns the size in bytes.
func (b *Buffer) Size() int64 { return b.size }

// All is the binding of the whole buffer.
func (b *Buffer) All() Binding { return Binding{Buffer: b} }

// Slice is the binding of size bytes from offset on.
func (b *Buffer) Slice(offset, size int64) Binding {
	return Binding{Buffer: b, Offset: offset, Size: size}
}

// Close releases the memory as soon as the GPU is done with the work that uses
// it. Later uses of the buffer return ErrClosed. Closing twice does nothing.
func (b *Buffer) Close() error {
	d := b.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	if b.closed || d.closed { // a closed device has closed its buffers, or is about to
		return nil
	}
	b.closed = true
	delete(d.buffers, b)
	if d.lost != nil {
		return nil // nothing can be released any more
	}
	d.groups.forget(d.drv, b)
	if b.lastUse > d.queue.completed {
		d.retired = append(d.retired, b)
	} else {
		d.release(b)
	}
	return nil
}

// release frees a buffer that the GPU no longer uses.
func (d *Device) release(b *Buffer) {
	d.drv.freeBuffer(b.ref)
	b.closed = true
	b.ref = 0
	d.memory.Bytes -= b.size
	d.memory.Buffers--
}

// open returns nil if the buffer can be used with this device.
func (d *Device) open(b *Buffer) error {
	switch {
	case b == nil:
		return fmt.Errorf("%w: no buffer", ErrArgument)
	case b.dev != d:
		return fmt.Errorf("%w: buffer %q belongs to another device", ErrArgument, b.label)
	case b.closed:
		return fmt.Errorf("%w: buffer %q", ErrClosed, b.label)
	}
	return nil
}

// span checks a range of bytes of a buffer that is to be written or read.
func (d *Device) span(b *Buffer, offset, length int64) error {
	if err := d.open(b); err != nil {
		return err
	}
	if offset < 0 || offset%4 != 0 || length%4 != 0 {
		return fmt.Errorf("%w: buffer %q: offset %d and length %d must be multiples of 4", ErrArgument, b.label, offset, length)
	}
	if offset > b.size || length > b.size-offset {
		return fmt.Errorf("%w: buffer %q: bytes %d to %d of %d", ErrArgument, b.label, offset, offset+length, b.size)
	}
	return nil
}
