package selftest_test

import (
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/gpu/selftest"
	"github.com/gpupeft/gpupeft/internal/backends"
)

// TestRun: the whole test, a little at a time.
func TestRun(t *testing.T) {
	b := backends.GPU(t).(*gpu.Backend)
	const short = selftest.Limit / 10
	for r := (selftest.Result{}); !r.Whole; {
		before := r
		var err error
		if r, err = selftest.Run(t.Context(), b, short, r.Cases); err != nil || r.Cases <= before.Cases || r.Kernels <= before.Kernels ||
			r.Of < 100 || r.Whole != (r.Kernels == r.Of) {
			t.Fatalf("%+v, %+v before, %v", r, before, err)
		}
		t.Logf("%+v", r)
	}
}
