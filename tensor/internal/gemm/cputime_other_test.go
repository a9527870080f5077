//go:build !unix

package gemm

import "time"

// cpuTime is not known here; the benchmarks then leave its figure out.
func cpuTime() time.Duration { return 0 }
