package bench

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
)

// Kernel is the part of one kernel in a call.
type Kernel struct {
	Name  string        `json:"name"`
	Calls int           `json:"calls"`
	Total time.Duration `json:"total_ns"` // without what it costs to wait for each call
	Flops float64       `json:"flops"`
}

// GFlops is operations a second in thousands of millions; 0 where the time is too short
// to say.
func (k Kernel) GFlops() float64 {
	if k.Total <= 0 {
		return 0
	}
	return k.Flops / k.Total.Seconds() / 1e9
}

// profile does one call in which each dispatch of a GPU is waited for, and returns the
// kernels, the longest first. The time of waiting is measured by a kernel that does
// nothing much, and taken off.
func profile(ctx context.Context, b tensor.Backend, j *job) ([]Kernel, error) {
	wait, err := waiting(ctx, b)
	if err != nil {
		return nil, err
	}
	b.Profile(true)
	defer b.Profile(false)
	if err := j.call(func() {}); err != nil {
		return nil, err
	}
	if err := b.Sync(ctx); err != nil {
		return nil, err
	}
	var all []Kernel
	for _, t := range b.Timings() {
		all = append(all, Kernel{t.Kernel, t.Calls, max(0, t.Total-time.Duration(t.Calls)*wait), t.Flops})
	}
	slices.SortFunc(all, func(a, b Kernel) int { return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}

// waiting is the time of a dispatch that does nothing much, while every one is timed: the
// mean of some, in the best of some rounds.
func waiting(ctx context.Context, b tensor.Backend) (time.Duration, error) {
	x, err := b.New("bench", tensor.F32, 1)
	if err != nil {
		return 0, err
	}
	defer x.Close()
	best := time.Duration(0)
	for range 10 {
		t, err := fills(ctx, b, x)
		if err != nil {
			return 0, err
		}
		if t > 0 && (best == 0 || t < best) {
			best = t
		}
	}
	return best, nil
}

func fills(ctx context.Context, b tensor.Backend, x *tensor.Tensor) (time.Duration, error) {
	b.Profile(true)
	defer b.Profile(false)
	for range 10 {
		p := tensor.Begin(b)
		p.Do(tensor.Fill{Out: x, Value: 1})
		if err := p.Submit(ctx); err != nil {
			return 0, err
		}
	}
	if err := b.Sync(ctx); err != nil {
		return 0, err
	}
	for _, t := range b.Timings() {
		if t.Calls > 0 {
			return t.Total / time.Duration(t.Calls), nil
		}
	}
	return 0, nil
}
