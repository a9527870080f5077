package tensor

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gpupeft/gpupeft/tensor/internal/quant"
)

// worthCollecting is how much freed memory may lie about when more is wanted. Left
// alone, the collector would wait until the garbage is as large as what lives, and a
// model is most of what lives.
const worthCollecting = 64 << 20

// maxHostBytes bounds one allocation of the CPU backend, so that an absurd shape
// is an error and not the end of the process.
const maxHostBytes = 1 << 38

// heap is a host's memory: the pieces that live, and their sizes.
type heap[T real] struct {
	mu     sync.Mutex
	live   map[*memory[T]]struct{}
	use    Memory
	freed  int64 // since the garbage was last collected
	closed bool
}

// memory is the storage of one tensor. A Close while an operation runs takes
// effect after it: the operation holds a pin.
type memory[T real] struct {
	heap  *heap[T]
	dtype DType
	size  int64
	dead  atomic.Bool

	// Guarded by heap.mu; the contents may be used while pinned.
	pins int
	span[T]
}

// span is a range of stored values, in the one slice that fits their type.
type span[T real] struct {
	values []T      // F32
	halves []uint16 // F16, BF16
	ints   []int32  // I32
	blocks []byte   // quantized types, as stored
	quant  *quant.Format
}

func newSpan[T real](dt DType, n int) span[T] {
	switch dt {
	case F32:
		return span[T]{values: make([]T, n)}
	case I32:
		return span[T]{ints: make([]int32, n)}
	case F16, BF16:
		return span[T]{halves: make([]uint16, n)}
	}
	return span[T]{blocks: make([]byte, dt.Bytes(n)), quant: dt.quant()}
}

func (s span[T]) len() int {
	if s.quant != nil {
		return len(s.blocks) / s.quant.Bytes * s.quant.Block
	}
	return len(s.values) + len(s.halves) + len(s.ints)
}

func (s span[T]) slice(lo, hi int) span[T] {
	switch {
	case s.values != nil:
		return span[T]{values: s.values[lo:hi:hi]}
	case s.ints != nil:
		return span[T]{ints: s.ints[lo:hi:hi]}
	case s.quant != nil:
		first, end := lo/s.quant.Block*s.quant.Bytes, hi/s.quant.Block*s.quant.Bytes
		return span[T]{blocks: s.blocks[first:end:end], quant: s.quant}
	}
	return span[T]{halves: s.halves[lo:hi:hi]}
}

// alloc makes a piece of zeros for n values.
func (h *heap[T]) alloc(dt DType, n int) (*memory[T], error) {
	size := dt.Bytes(n)
	if dt == F32 {
		size = int64(n) * int64(unsafe.Sizeof(T(0)))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, ErrClosed
	case size > maxHostBytes:
		return nil, fmt.Errorf("%d bytes in one piece: %w", size, ErrMemory)
	}
	if h.freed >= worthCollecting {
		h.freed = 0
		runtime.GC()
	}
	m := &memory[T]{heap: h, dtype: dt, size: size, span: newSpan[T](dt, n)}
	h.live[m] = struct{}{}
	h.use.Tensors++
	h.use.InUse += size
	h.use.Peak = max(h.use.Peak, h.use.InUse)
	return m, nil
}

// Alive implements Storage.
func (m *memory[T]) Alive() bool { return !m.dead.Load() }

// Close implements Storage.
func (m *memory[T]) Close() error {
	m.heap.mu.Lock()
	defer m.heap.mu.Unlock()
	m.dead.Store(true)
	m.heap.release(m)
	return nil
}

// release forgets a dead piece that no operation uses. The caller holds mu.
func (h *heap[T]) release(m *memory[T]) {
	if _, ok := h.live[m]; !ok || !m.dead.Load() || m.pins > 0 {
		return
	}
	delete(h.live, m)
	h.use.Tensors--
	h.use.InUse -= m.size
	h.freed += m.size
	m.span = span[T]{}
}

// close kills every piece; those in use go when they are unpinned.
func (h *heap[T]) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for m := range h.live {
		m.dead.Store(true)
		h.release(m)
	}
}

// memory reports what is in use.
func (h *heap[T]) memory() Memory {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.use
}

// pin keeps the memory of tensors in place until unpin is called. Errors wrap
// ErrClosed, or ErrShape for a tensor of another backend.
func (h *heap[T]) pin(tensors []*Tensor) (unpin func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	for _, t := range tensors {
		if err := h.check(t); err != nil {
			return nil, err
		}
	}
	for _, t := range tensors {
		t.storage.(*memory[T]).pins++
	}
	return func() { h.unpin(tensors) }, nil
}

func (h *heap[T]) unpin(tensors []*Tensor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range tensors {
		m := t.storage.(*memory[T])
		m.pins--
		h.release(m)
	}
}

// check verifies that t is a living tensor of this heap.
func (h *heap[T]) check(t *Tensor) error {
	m, ok := t.storage.(*memory[T])
	switch {
	case !ok || m.heap != h:
		return fmt.Errorf("%v belongs to another backend: %w", t, ErrShape)
	case !m.Alive():
		return fmt.Errorf("%v: %w", t, ErrClosed)
	case t.DType != m.dtype || t.offset+t.Len() > m.len():
		return fmt.Errorf("%v doesn't lie in its memory of %d %v: %w", t, m.len(), m.dtype, ErrShape)
	}
	return nil
}

// spanOf returns the values of a pinned tensor.
func spanOf[T real](t *Tensor) span[T] {
	return t.storage.(*memory[T]).slice(t.offset, t.offset+t.Len())
}
