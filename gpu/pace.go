package gpu

import (
	"math"
	"time"
)

// pace is the time in seconds that a device takes for one unit of Dispatch.Cost of
// one kernel. It begins as a guess on the slow side and is learned from the
// submissions that finish.
type pace float64

// newPace is the guess: a plain kernel on one of the slower devices of its kind.
func newPace(t AdapterType) pace {
	if t == SoftwareGPU {
		return 2e-9
	}
	return 2e-10
}

// share is the part that the dispatches of one kernel have in a submission.
type share struct {
	kernel  *Kernel
	pace    pace    // of the kernel when the submission was made
	seconds float64 // expected, by that pace
}

// addShare counts a dispatch that is expected to take seconds.
func addShare(shares []share, k *Kernel, seconds float64) []share {
	for i := range shares {
		if shares[i].kernel == k {
			shares[i].seconds += seconds
			return shares
		}
	}
	return append(shares, share{k, k.pace, seconds})
}

const (
	// quick submissions teach nothing: fixed costs are the larger part of them.
	quick = 2 * time.Millisecond
	// One submission changes a pace by no more than these factors. A device that
	// turns out slow is believed sooner than one that turns out fast.
	maxSlower, maxFaster = 16, 4
)

// learn corrects the paces of the kernels in a submission that took between atLeast
// and atMost. Each pace moves towards what would have foretold the time taken, the
// further the larger the kernel's share of the submission was. The aim is taken
// from the pace at submission: several submissions may be under way that were
// foretold by the same pace, and their corrections must not add up.
func learn(shares []share, atLeast, atMost time.Duration) {
	expected := 0.0
	for _, s := range shares {
		expected += s.seconds
	}
	if expected <= 0 || expected < quick.Seconds() && atMost < quick {
		return
	}
	took := min(max(expected, atLeast.Seconds()), atMost.Seconds())
	ratio := min(max(took/expected, 1.0/maxFaster), maxSlower)
	for _, s := range shares {
		now, aim := float64(s.kernel.pace), float64(s.pace)*ratio
		p := now * math.Pow(aim/now, s.seconds/expected)
		s.kernel.pace = pace(min(max(p, 1e-16), 1e-2))
	}
}
