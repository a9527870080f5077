package tensor

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// host runs operations on Go slices of T. One Run, Read or Write works at a
// time; memory may be made and closed meanwhile.
type host[T real] struct {
	info    Info
	vectors vectors[T]
	heap    heap[T]
	turn    chan struct{} // holds a value while somebody works
	timings timings
	scratch *sync.Pool // see task
}

func newHost[T real](info Info, v vectors[T]) host[T] {
	if info.Threads < 1 {
		info.Threads = runtime.GOMAXPROCS(0)
	}
	return host[T]{
		info: info, vectors: v, turn: make(chan struct{}, 1), scratch: new(sync.Pool),
		heap: heap[T]{live: map[*memory[T]]struct{}{}},
	}
}

// Info implements Backend.
func (h *host[T]) Info() Info { return h.info }

// Limits implements Backend.
func (h *host[T]) Limits() Limits { return Limits{MaxTensorBytes: maxHostBytes, Align: 1} }

// Memory implements Backend.
func (h *host[T]) Memory() Memory { return h.heap.memory() }

// New implements Backend.
func (h *host[T]) New(name string, dt DType, shape ...int) (*Tensor, error) {
	if !dt.Valid() {
		return nil, fmt.Errorf("new %s: %v: %w", name, dt, ErrType)
	}
	if err := checkShape(dt, shape); err != nil {
		return nil, fmt.Errorf("new %s: %w", name, err)
	}
	m, err := h.heap.alloc(dt, product(shape))
	if err != nil {
		return nil, fmt.Errorf("new %s %v%v: %w", name, dt, shape, err)
	}
	return Wrap(m, name, dt, shape...), nil
}

// Write implements Backend.
func (h *host[T]) Write(ctx context.Context, t *Tensor, data []byte) error {
	if int64(len(data)) != t.Bytes() {
		return fmt.Errorf("write %v: %d bytes for %d: %w", t, len(data), t.Bytes(), ErrShape)
	}
	return h.access(ctx, t, func(s span[T]) { s.decode(data) })
}

// Fill is Write of what f puts into the Bytes it is given, which saves a copy: they are t's own memory, unless the host
// stores values differently. Several tensors may be filled at once; nothing else may use t meanwhile. After an error of
// f, which Fill returns, t's values are undefined.
func (h *host[T]) Fill(ctx context.Context, t *Tensor, f func(data []byte) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	unpin, err := h.heap.pin([]*Tensor{t})
	if err != nil {
		return err
	}
	defer unpin()
	s := spanOf[T](t)
	if raw := s.raw(); raw != nil {
		return f(raw)
	}
	data := make([]byte, t.Bytes())
	if err := f(data); err != nil {
		return err
	}
	s.decode(data)
	return nil
}

// Read implements Backend.
func (h *host[T]) Read(ctx context.Context, t *Tensor, data []byte) error {
	if int64(len(data)) != t.Bytes() {
		return fmt.Errorf("read %v: room for %d bytes of %d: %w", t, len(data), t.Bytes(), ErrShape)
	}
	return h.access(ctx, t, func(s span[T]) { s.encode(data) })
}

// readFloats copies the values of an F32 tensor to dst, which has as many.
func (h *host[T]) readFloats(ctx context.Context, t *Tensor, dst []float32) error {
	return h.access(ctx, t, func(s span[T]) {
		values, ok := any(s.values).([]float32)
		if !ok {
			for i, v := range s.values {
				dst[i] = float32(v)
			}
			return
		}
		k := &task[T]{workers: h.info.Threads}
		k.parallel(len(values), 1<<18, func(lo, hi int) { copy(dst[lo:hi], values[lo:hi]) })
	})
}

// access calls f with t's values when no operation runs.
func (h *host[T]) access(ctx context.Context, t *Tensor, f func(span[T])) error {
	if err := h.begin(ctx); err != nil {
		return err
	}
	defer h.end()
	unpin, err := h.heap.pin([]*Tensor{t})
	if err != nil {
		return err
	}
	defer unpin()
	f(spanOf[T](t))
	return nil
}

// Run implements Backend. It returns when the operations are done, or soon after
// ctx is; results of a cancelled run are undefined.
func (h *host[T]) Run(ctx context.Context, ops []Op) error {
	if err := h.begin(ctx); err != nil {
		return err
	}
	defer h.end()
	var tensors []*Tensor
	for _, o := range ops {
		for _, operand := range o.Operands() {
			tensors = append(tensors, operand.Tensor)
		}
	}
	unpin, err := h.heap.pin(tensors)
	if err != nil {
		return err
	}
	defer unpin()
	k := &task[T]{vectors: h.vectors, workers: h.info.Threads, done: ctx.Done(), scratch: h.scratch}
	for _, o := range ops {
		start := time.Now()
		if err := k.run(o); err != nil {
			return fmt.Errorf("%s: %w", o.Name(), err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		h.timings.add(o, time.Since(start))
	}
	return nil
}

// Sync implements Backend.
func (h *host[T]) Sync(ctx context.Context) error {
	if err := h.begin(ctx); err != nil {
		return err
	}
	defer h.end()
	_, err := h.heap.pin(nil)
	return err
}

// Close implements Backend.
func (h *host[T]) Close() error {
	h.turn <- struct{}{}
	defer h.end()
	h.heap.close()
	return nil
}

// begin waits for the turn to work.
func (h *host[T]) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *host[T]) end() { <-h.turn }

// Profile implements Backend.
func (h *host[T]) Profile(on bool) { h.timings.reset(on) }

// Timings implements Backend.
func (h *host[T]) Timings() []Timing { return h.timings.list() }

// timings adds up the time spent by operation. Off until reset.
type timings struct {
	mu     sync.Mutex
	byName map[string]*Timing
}

func (t *timings) reset(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byName = nil
	if on {
		t.byName = map[string]*Timing{}
	}
}

func (t *timings) add(o Op, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName == nil {
		return
	}
	sum := t.byName[o.Name()]
	if sum == nil {
		sum = &Timing{Kernel: o.Name()}
		t.byName[o.Name()] = sum
	}
	sum.Calls++
	sum.Total += d
	sum.Flops += o.Flops()
}

func (t *timings) list() []Timing {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Timing
	for _, sum := range t.byName {
		all = append(all, *sum)
	}
	slices.SortFunc(all, func(a, b Timing) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Kernel, b.Kernel))
	})
	return all
}
