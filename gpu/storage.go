package gpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gpupeft/gpupeft/tensor"
)

// storage is the memory of one tensor: a buffer of its own, a multiple of 16 bytes
// long, so that kernels may read it as vec4 to its end.
type storage struct {
	b      *Backend
	buf    *Buffer
	closed atomic.Bool
}

// Alive implements tensor.Storage.
func (s *storage) Alive() bool { return !s.closed.Load() && !s.b.closed.Load() }

// Close implements tensor.Storage.
func (s *storage) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.b.usage.add(-1, -s.buf.Size())
	return s.buf.Close()
}

// usage counts the tensors that are alive.
type usage struct {
	mu sync.Mutex
	tensor.Memory
}

func (u *usage) add(tensors int, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Tensors += tensors
	u.InUse += bytes
	u.Peak = max(u.Peak, u.InUse)
}

// New implements tensor.Backend.
func (b *Backend) New(name string, dt tensor.DType, shape ...int) (*tensor.Tensor, error) {
	if b.closed.Load() {
		return nil, fmt.Errorf("new %s: %w", name, tensor.ErrClosed)
	}
	if !dt.Valid() {
		return nil, fmt.Errorf("new %s: %v: %w", name, dt, tensor.ErrType)
	}
	s := &storage{b: b}
	t := tensor.Wrap(s, name, dt, shape...)
	if err := b.checkSize(t); err != nil {
		return nil, fmt.Errorf("new %s: %w", name, err)
	}
	buf, err := b.dev.NewBuffer(name, padded(t.Bytes(), 16))
	if err != nil {
		return nil, fmt.Errorf("new %v: %w", t, backendError(err))
	}
	s.buf = buf
	b.usage.add(1, buf.Size())
	return t, nil
}

// checkSize refuses empty shapes and those beyond one buffer.
func (b *Backend) checkSize(t *tensor.Tensor) error {
	if len(t.Shape) == 0 {
		return fmt.Errorf("empty shape: %w", tensor.ErrShape)
	}
	if row := t.Shape[len(t.Shape)-1]; row%t.DType.Block() != 0 {
		return fmt.Errorf("rows of %d are no whole blocks of %d %v: %w", row, t.DType.Block(), t.DType, tensor.ErrShape)
	}
	room := b.limits.BufferSize / 16 * 16 * int64(t.DType.Block()) / t.DType.Bytes(t.DType.Block())
	for _, d := range t.Shape {
		if d < 1 {
			return fmt.Errorf("shape %v: %w", t.Shape, tensor.ErrShape)
		}
		if room /= int64(d); room == 0 {
			return fmt.Errorf("shape %v of %v takes more than the %d bytes of the largest buffer: %w",
				t.Shape, t.DType, b.limits.BufferSize, tensor.ErrMemory)
		}
	}
	return nil
}

// Write implements tensor.Backend.
func (b *Backend) Write(ctx context.Context, t *tensor.Tensor, data []byte) error {
	s, lo, err := b.place(t, data)
	if err != nil {
		return fmt.Errorf("write %v: %w", t, err)
	}
	if lo%4 != 0 || len(data)%4 != 0 {
		if data, lo, err = b.wholeWords(ctx, s.buf, lo, data); err != nil {
			return fmt.Errorf("write %v: %w", t, backendError(err))
		}
	}
	if err := b.dev.Write(ctx, s.buf, lo, data); err != nil {
		return fmt.Errorf("write %v: %w", t, backendError(err))
	}
	return nil
}

// wholeWords widens data that begins or ends inside a 4-byte word, as views of
// 16-bit matrices with an odd number of columns do, by its neighbours' bytes.
func (b *Backend) wholeWords(ctx context.Context, buf *Buffer, lo int64, data []byte) ([]byte, int64, error) {
	first := lo / 4 * 4
	last := padded(lo+int64(len(data)), 4)
	words := make([]byte, last-first)
	if err := b.dev.Read(ctx, buf, first, words[:4]); err != nil {
		return nil, 0, err
	}
	if err := b.dev.Read(ctx, buf, last-4, words[len(words)-4:]); err != nil {
		return nil, 0, err
	}
	copy(words[lo-first:], data)
	return words, first, nil
}

// Read implements tensor.Backend.
func (b *Backend) Read(ctx context.Context, t *tensor.Tensor, data []byte) error {
	s, lo, err := b.place(t, data)
	if err != nil {
		return fmt.Errorf("read %v: %w", t, err)
	}
	words, first := data, lo
	if lo%4 != 0 || len(data)%4 != 0 {
		first = lo / 4 * 4
		words = make([]byte, padded(lo+int64(len(data)), 4)-first)
	}
	if err := b.dev.Read(ctx, s.buf, first, words); err != nil {
		return fmt.Errorf("read %v: %w", t, backendError(err))
	}
	if len(words) != len(data) {
		copy(data, words[lo-first:])
	}
	return nil
}

// place finds t's storage and its first byte, and checks the length of its data.
func (b *Backend) place(t *tensor.Tensor, data []byte) (*storage, int64, error) {
	s, lo, err := b.storageOf(t)
	if err == nil && int64(len(data)) != t.Bytes() {
		err = fmt.Errorf("%d bytes of data, want %d: %w", len(data), t.Bytes(), tensor.ErrShape)
	}
	return s, lo, err
}

// storageOf finds t's storage, and in it the first byte of t.
func (b *Backend) storageOf(t *tensor.Tensor) (*storage, int64, error) {
	mem, offset := t.Storage()
	s, ok := mem.(*storage)
	switch {
	case !ok || s.b != b:
		return nil, 0, fmt.Errorf("the tensor belongs to another backend: %w", tensor.ErrUnsupported)
	case !s.Alive():
		return nil, 0, tensor.ErrClosed
	}
	return s, t.DType.Bytes(offset), nil
}

// padded rounds n up to a multiple of m.
func padded(n, m int64) int64 { return (n + m - 1) / m * m }

// backendError adds the sentinel of package tensor to an error of a device.
func backendError(err error) error {
	for _, s := range []struct{ gpu, tensor error }{
		{ErrMemory, tensor.ErrMemory},
		{ErrClosed, tensor.ErrClosed},
		{ErrLimit, tensor.ErrUnsupported},
		{ErrKernel, tensor.ErrUnsupported},
	} {
		if errors.Is(err, s.gpu) {
			return fmt.Errorf("%w: %w", s.tensor, err)
		}
	}
	return err
}
