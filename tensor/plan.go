package tensor

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Plan is a backend that computes nothing: its tensors have sizes but no memory.
// Code that allocates on a Plan instead of a real backend tells, by the Plan's
// Memory, what it would take, so that no second piece of code has to know.
//
// Run, Write and Sync do nothing, and Read gives zeros.
type Plan struct {
	limits  Limits
	mu      sync.Mutex
	use     Memory
	largest int64
	closed  bool
}

// NewPlan returns a plan for a device with the given limits; a bound of 0 is none.
func NewPlan(limits Limits) *Plan { return &Plan{limits: limits} }

// planned is the storage of a tensor that has none.
type planned struct {
	plan *Plan
	size int64
	dead atomic.Bool
}

// Alive implements Storage.
func (s *planned) Alive() bool { return !s.dead.Load() }

// Close implements Storage.
func (s *planned) Close() error {
	if !s.dead.Swap(true) {
		s.plan.mu.Lock()
		defer s.plan.mu.Unlock()
		s.plan.use.Tensors--
		s.plan.use.InUse -= s.size
	}
	return nil
}

// Info implements Backend.
func (p *Plan) Info() Info { return Info{Kind: "plan", Name: "nothing is computed"} }

// Limits implements Backend.
func (p *Plan) Limits() Limits { return p.limits }

// Memory implements Backend.
func (p *Plan) Memory() Memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.use
}

// Largest returns the size of the largest tensor so far, in bytes.
func (p *Plan) Largest() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.largest
}

// New implements Backend.
func (p *Plan) New(name string, dt DType, shape ...int) (*Tensor, error) {
	if !dt.Valid() {
		return nil, fmt.Errorf("new %s: %v: %w", name, dt, ErrType)
	}
	if err := checkShape(dt, shape); err != nil {
		return nil, fmt.Errorf("new %s: %w", name, err)
	}
	s := &planned{plan: p, size: dt.Bytes(product(shape))}
	if most := p.limits.MaxTensorBytes; most > 0 && s.size > most && (dt == F32 || dt == I32 || len(shape) == 1) {
		return nil, fmt.Errorf("new %s %v%v: %d bytes, a tensor may have %d: %w", name, dt, shape, s.size, most, ErrMemory)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("new %s: %w", name, ErrClosed)
	}
	p.use.Tensors++
	p.use.InUse += s.size
	p.use.Peak = max(p.use.Peak, p.use.InUse)
	p.largest = max(p.largest, s.size)
	return Wrap(s, name, dt, shape...), nil
}

// Write implements Backend.
func (p *Plan) Write(ctx context.Context, t *Tensor, data []byte) error {
	if int64(len(data)) != t.Bytes() {
		return fmt.Errorf("write %v: %d bytes for %d: %w", t, len(data), t.Bytes(), ErrShape)
	}
	return ctx.Err()
}

// Read implements Backend.
func (p *Plan) Read(ctx context.Context, _ *Tensor, data []byte) error {
	clear(data)
	return ctx.Err()
}

// Run implements Backend.
func (p *Plan) Run(ctx context.Context, _ []Op) error { return ctx.Err() }

// Sync implements Backend.
func (p *Plan) Sync(ctx context.Context) error { return ctx.Err() }

// Timings implements Backend.
func (p *Plan) Timings() []Timing { return nil }

// Profile implements Backend.
func (p *Plan) Profile(bool) {}

// Close implements Backend.
func (p *Plan) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}
