package gpu

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gpupeft/gpupeft/tensor"
)

// storage is the memory of one tensor: a buffer of its own, a multiple of 16 bytes
// long, so that kernels may read it as vec4 to its end. The rows of a matrix of weights
// that is larger than a buffer may be are spread over several.
type storage struct {
	b      *Backend
	bufs   []*Buffer
	chunk  int64 // bytes of the tensor in each buffer but the last
	closed atomic.Bool
}

// Alive implements tensor.Storage.
func (s *storage) Alive() bool { return !s.closed.Load() && !s.b.closed.Load() }

// Close implements tensor.Storage.
func (s *storage) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	var err error
	for _, buf := range s.bufs {
		s.b.usage.add(0, -buf.Size())
		err = errors.Join(err, buf.Close())
	}
	s.b.usage.add(-1, 0)
	return err
}

// spans cuts bytes [lo, lo+n) of the tensor into ranges of its buffers. at counts from
// lo, first from the start of the buffer.
func (s *storage) spans(lo, n int64) iter.Seq[span] {
	return func(yield func(span) bool) {
		for at := int64(0); at < n; {
			i := min((lo+at)/s.chunk, int64(len(s.bufs)-1))
			sp := span{buf: s.bufs[i], first: lo + at - i*s.chunk, at: at, n: n - at}
			if i < int64(len(s.bufs)-1) {
				sp.n = min(sp.n, s.chunk-sp.first)
			}
			if !yield(sp) {
				return
			}
			at += sp.n
		}
	}
}

// span is a range of a tensor's bytes within one buffer.
type span struct {
	buf          *Buffer
	first, at, n int64
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
	s.chunk = b.chunkOf(t)
	b.usage.add(1, 0)
	for left := t.Bytes(); left > 0; left -= s.chunk {
		buf, err := b.dev.NewBuffer(name, padded(min(left, s.chunk), 16))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("new %v: %w", t, backendError(err)), s.Close())
		}
		s.bufs = append(s.bufs, buf)
		b.usage.add(0, buf.Size())
	}
	return t, nil
}

// chunkRows is what the number of rows in a buffer is a multiple of.
const chunkRows = 64

// chunkOf returns how many bytes of a tensor lie in a buffer: all, if they may.
func (b *Backend) chunkOf(t *tensor.Tensor) int64 {
	if t.Bytes() <= b.limits.BufferSize/16*16 {
		return t.Bytes()
	}
	few := chunkRows * rowBytes(t)
	return max(1, b.limits.BufferSize/few) * few
}

// checkSize refuses empty shapes and those beyond one buffer.
func (b *Backend) checkSize(t *tensor.Tensor) error {
	if len(t.Shape) == 0 {
		return fmt.Errorf("empty shape: %w", tensor.ErrShape)
	}
	if slices.Min(t.Shape) < 1 {
		return fmt.Errorf("shape %v: %w", t.Shape, tensor.ErrShape)
	}
	if row := t.Shape[len(t.Shape)-1]; row%t.DType.Block() != 0 {
		return fmt.Errorf("rows of %d are no whole blocks of %d %v: %w", row, t.DType.Block(), t.DType, tensor.ErrShape)
	}
	room := b.limits.BufferSize / 16 * 16
	if weights := t.DType != tensor.F32 && t.DType != tensor.I32; weights && len(t.Shape) > 1 {
		const most = 1 << 40
		if row := b.bytesWithin(t, t.Shape[1:], most); row > 0 && row*chunkRows <= room {
			room = most // rows can be spread over buffers
		}
	}
	if b.bytesWithin(t, t.Shape, room) == 0 {
		return fmt.Errorf("shape %v of %v takes more than the %d bytes of the largest buffer: %w",
			t.Shape, t.DType, b.limits.BufferSize, tensor.ErrMemory)
	}
	return nil
}

// bytesWithin returns the bytes of so many values of t's type, or 0 if they are more
// than room. It doesn't overflow.
func (b *Backend) bytesWithin(t *tensor.Tensor, shape []int, room int64) int64 {
	block := int64(t.DType.Block())
	values := room / t.DType.Bytes(int(block)) * block
	n := int64(1)
	for _, d := range shape {
		if int64(d) > values/n {
			return 0
		}
		n *= int64(d)
	}
	return t.DType.Bytes(int(n))
}

// Write implements tensor.Backend.
func (b *Backend) Write(ctx context.Context, t *tensor.Tensor, data []byte) error {
	s, lo, err := b.place(t, data)
	if err != nil {
		return fmt.Errorf("write %v: %w", t, err)
	}
	for sp := range s.spans(lo, int64(len(data))) {
		if err := b.writeSpan(ctx, sp, data[sp.at:][:sp.n]); err != nil {
			return fmt.Errorf("write %v: %w", t, backendError(err))
		}
	}
	return nil
}

func (b *Backend) writeSpan(ctx context.Context, sp span, data []byte) (err error) {
	lo := sp.first
	if lo%4 != 0 || len(data)%4 != 0 {
		if data, lo, err = b.wholeWords(ctx, sp.buf, lo, data); err != nil {
			return err
		}
	}
	return b.dev.Write(ctx, sp.buf, lo, data)
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
	for sp := range s.spans(lo, int64(len(data))) {
		if err := b.readSpan(ctx, sp, data[sp.at:][:sp.n]); err != nil {
			return fmt.Errorf("read %v: %w", t, backendError(err))
		}
	}
	return nil
}

func (b *Backend) readSpan(ctx context.Context, sp span, data []byte) error {
	words, first := data, sp.first
	if first%4 != 0 || len(data)%4 != 0 {
		first = first / 4 * 4
		words = make([]byte, padded(sp.first+int64(len(data)), 4)-first)
	}
	if err := b.dev.Read(ctx, sp.buf, first, words); err != nil {
		return err
	}
	if len(words) != len(data) {
		copy(data, words[sp.first-first:])
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
