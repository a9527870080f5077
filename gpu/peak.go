package gpu

import (
	"context"
	"fmt"
	"time"
)

// Peak is what a device was seen to do at most.
type Peak struct {
	Flops float64 // float32 operations a second, a multiplication with an addition counting as two
	Bytes float64 // bytes a second of a copy, those read and those written
}

// peakParams are Params of shaders/peak.wgsl.
type peakParams struct{ Turns, Count uint32 }

const (
	peakThreads = 256
	// peakTime is how long one measurement should take: much longer than a submission.
	peakTime   = 20 * time.Millisecond
	peakRounds = 5
	// turnFlops are the operations of one invocation in one turn of the kernel.
	turnFlops = 4 * 8 * 4 * 2
	peakTurns = 256
)

// Peak measures the device with the simplest kernels: one that only multiplies and adds,
// one that only copies. It takes some tenths of a second, and memory for a copy that no
// cache holds, if there is as much.
func (b *Backend) Peak(ctx context.Context) (Peak, error) {
	size := int64(512 << 20)
	if b.info.Type == SoftwareGPU {
		size = 64 << 20
	}
	size = min(size, b.bindingSize())
	src, err := b.dev.NewBuffer("peak source", size)
	if err != nil {
		return Peak{}, fmt.Errorf("peak: %w", err)
	}
	defer src.Close()
	dst, err := b.dev.NewBuffer("peak destination", size)
	if err != nil {
		return Peak{}, fmt.Errorf("peak: %w", err)
	}
	defer dst.Close()
	if err := b.dev.Write(ctx, src, 0, ones(min(size, 1<<20))); err != nil {
		return Peak{}, fmt.Errorf("peak: %w", err)
	}
	count := int(size / 16)
	var p Peak
	p.Bytes, err = b.fastest(ctx, dst, src, "copy", peakParams{0, uint32(count)}, ceilDiv(count, peakThreads), 2*float64(size))
	if err != nil {
		return p, fmt.Errorf("peak: %w", err)
	}
	groups := 16
	for { // as many workgroups as keep the device busy for long enough
		flops := float64(groups*peakThreads) * peakTurns * turnFlops
		p.Flops, err = b.fastest(ctx, dst, src, "multiply", peakParams{peakTurns, 64}, groups, flops)
		if err != nil {
			return p, fmt.Errorf("peak: %w", err)
		}
		if flops/p.Flops > peakTime.Seconds()/4 || groups >= 1<<15 {
			return p, nil
		}
		groups *= 4
	}
}

// fastest returns the work that a kernel does in a second, in the best of some rounds.
func (b *Backend) fastest(ctx context.Context, dst, src *Buffer, entry string, params peakParams, groups int, work float64) (float64, error) {
	r := recorder{Backend: b}
	err := r.add(task{
		program:  file{names: "peak", entry: entry, consts: elementwiseConsts{peakThreads}},
		operands: []operand{{buf: dst, count: int(dst.Size() / 4)}, {buf: src, count: int(src.Size() / 4)}},
		params:   params,
		groups:   r.fold(groups),
		cost:     work,
		steps:    peakTurns,
	})
	if err != nil {
		return 0, err
	}
	best, n := 0.0, 1
	for round := range peakRounds {
		ds := make([]Dispatch, n)
		for i := range ds {
			ds[i] = r.ds[0]
		}
		start := time.Now()
		if err := b.dev.Run(ctx, ds...); err != nil {
			return 0, err
		}
		if err := b.dev.Sync(ctx); err != nil {
			return 0, err
		}
		took := time.Since(start)
		if round == 0 {
			continue // compiles
		}
		best = max(best, work*float64(n)/took.Seconds())
		n = max(1, min(maxDispatches, int(peakTime.Seconds()*best/work)))
	}
	return best, nil
}

// ones are float32 values of one.
func ones(n int64) []byte {
	data := make([]byte, n)
	for i := 0; i < len(data); i += 4 {
		data[i+2], data[i+3] = 0x80, 0x3f
	}
	return data
}
