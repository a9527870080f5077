package gpu

import (
	"context"
	"fmt"
)

// Run submits dispatches to the GPU, to be run one after another; each sees what
// the ones before it wrote. It checks all of them before it submits the first. It
// does not wait until they are done, but it does wait while too much submitted
// work is unfinished. Errors are ErrArgument, ErrLimit, ErrClosed, ErrLost,
// ErrMemory or that of the context; they name the place in ds. After an error,
// a first part of ds may have been run.
func (d *Device) Run(ctx context.Context, ds ...Dispatch) error {
	if err := d.checkRun(ctx, ds); err != nil {
		return err
	}
	for at := 0; at < len(ds); {
		timed := false
		err := d.whenRoom(ctx, func() error {
			n := d.batch(ds[at:])
			timed = d.timing.on
			err := d.submitBatch(ds[at : at+n])
			if err != nil {
				err = fmt.Errorf("dispatches %d to %d: %w", at, at+n-1, err)
			}
			at += n
			return err
		})
		if err == nil && timed {
			err = d.Sync(ctx)
		}
		if err != nil {
			return fmt.Errorf("run: %w", err)
		}
	}
	return nil
}

func (d *Device) checkRun(ctx context.Context, ds []Dispatch) error {
	if err := d.mu.LockUntil(ctx); err != nil {
		return err
	}
	defer d.mu.Unlock()
	if err := d.usable(); err != nil {
		return err
	}
	for i := range ds {
		if err := d.check(&ds[i]); err != nil {
			return fmt.Errorf("run: dispatch %d: %w", i, err)
		}
	}
	return nil
}

// batch returns how many of the dispatches go into the next submission: as many as
// fit into the budget, at least one. The first dispatch of a kernel goes alone,
// since the driver may compile it then; so do all while they are timed.
func (d *Device) batch(ds []Dispatch) int {
	total := 0.0
	for i := range min(len(ds), maxDispatches) {
		if i > 0 && !ds[i].Kernel.warm {
			return i
		}
		total += ds[i].seconds()
		if i > 0 && total > d.budget.Seconds() {
			return i
		}
		if !ds[i].Kernel.warm || d.timing.on {
			return 1
		}
	}
	return min(len(ds), maxDispatches)
}

// seconds is the time that a dispatch is expected to take.
func (x *Dispatch) seconds() float64 {
	cost := x.Cost
	if cost == 0 {
		w := x.Kernel.shape.workgroup
		cost = float64(x.Groups[0]) * float64(x.Groups[1]) * float64(x.Groups[2]) * float64(w[0]) * float64(w[1]) * float64(w[2])
	}
	return cost * float64(x.Kernel.pace)
}

// submitBatch makes one submission of dispatches.
func (d *Device) submitBatch(ds []Dispatch) error {
	d.groups.trim(d.drv)
	d.params.bytes = d.params.bytes[:0]
	launches := make([]launch, 0, len(ds))
	var shares []share
	timed := ""
	for i := range ds {
		x := &ds[i]
		for _, b := range x.Bindings {
			if err := d.open(b.Buffer); err != nil { // closed since the check
				return err
			}
		}
		if x.Groups[0] == 0 || x.Groups[1] == 0 || x.Groups[2] == 0 {
			continue
		}
		l := launch{pipeline: x.Kernel.refs.pipeline, groups: x.Groups, hasParams: x.Kernel.shape.uniform >= 0}
		var err error
		if l.group, err = d.groups.get(d.drv, x.Kernel, x.Bindings, d.params.ref); err != nil {
			return fmt.Errorf("kernel %q: %w", x.Kernel.label, err)
		}
		if l.hasParams {
			l.paramsOffset = d.params.add(x.Params)
		}
		launches = append(launches, l)
		if x.Kernel.warm {
			shares = addShare(shares, x.Kernel, x.seconds())
			if d.timing.on {
				timed = x.label()
			}
		}
	}
	if len(launches) == 0 {
		return nil
	}
	if err := d.params.upload(d.drv); err != nil {
		return err
	}
	if err := d.submit(launches, nil, shares, timed); err != nil {
		return err
	}
	for i := range ds {
		ds[i].Kernel.warm = true
		for _, b := range ds[i].Bindings {
			b.Buffer.lastUse = d.queue.submitted
		}
	}
	return nil
}
