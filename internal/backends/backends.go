// Package backends gives tests every backend that this machine has.
package backends

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
)

// openGPU opens one device for all tests of a package: starting one takes longer
// than most tests.
var openGPU = sync.OnceValues(func() (tensor.Backend, error) {
	return gpu.Open(context.Background(), gpu.Config{})
})

// Each runs a test on the CPU and on the GPU. Where there is no GPU that part is
// skipped, unless GPUPEFT_REQUIRE_GPU=1 says that there must be one.
func Each(t *testing.T, f func(t *testing.T, b tensor.Backend)) {
	t.Run("cpu", func(t *testing.T) {
		b := tensor.NewCPU(0)
		defer b.Close()
		f(t, b)
	})
	t.Run("gpu", func(t *testing.T) { f(t, GPU(t)) })
}

// GPU returns the GPU's backend, which stays open, or skips the test.
func GPU(t testing.TB) tensor.Backend {
	t.Helper()
	b, err := openGPU()
	if errors.Is(err, gpu.ErrUnavailable) && os.Getenv("GPUPEFT_REQUIRE_GPU") != "1" {
		t.Skip("no GPU: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}
