package gpu

import (
	"cmp"
	"slices"
	"time"
)

// timing adds up the time of dispatches by label. It is wall time from
// submission to completion, not the GPU's own clock: the native library gives
// readings of that clock, but not its unit, which differs between GPUs.
type timing struct {
	on      bool
	byLabel map[string]*Timing
}

func (t *timing) add(label string, took time.Duration) {
	entry := t.byLabel[label]
	if entry == nil {
		entry = &Timing{Label: label}
		t.byLabel[label] = entry
	}
	entry.Calls++
	entry.Total += took
}

// SetTiming turns the measurement of every dispatch on or off. While it is on,
// every dispatch is a submission that is waited for, so the whole runs slower, and
// each measured time includes the cost of a submission, some ten to a hundred
// microseconds.
func (d *Device) SetTiming(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timing.on = on
}

// Timings returns the time spent in each kernel while the measurement was on, the
// longest first, for work that is done: call Sync before it. Kernels with the same
// label are one entry, but for those that Dispatch.Shape tells apart. The first dispatch of a kernel is not counted, since it may
// hold the driver's compilation.
func (d *Device) Timings() []Timing {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Timing, 0, len(d.timing.byLabel))
	for _, t := range d.timing.byLabel {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Timing) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Label, b.Label))
	})
	return list
}
