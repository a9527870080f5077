//go:build unix

package interp_test

import (
	"syscall"
	"time"
)

// cpuTime returns the processor time of all threads so far; on a shared machine it tells more than the clock.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
