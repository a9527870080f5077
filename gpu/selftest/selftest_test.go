package selftest_test

import (
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/gpu/selftest"
	"github.com/gpupeft/gpupeft/internal/backends"
)

func TestRun(t *testing.T) {
	b := backends.GPU(t).(*gpu.Backend)
	r, err := selftest.Run(t.Context(), b, selftest.Limit)
	if err != nil || r.Kernels == 0 || r.Kernels > r.Of || r.Of < 100 {
		t.Fatalf("%+v, %v", r, err)
	}
	t.Logf("%+v", r)
}
