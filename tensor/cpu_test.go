package tensor_test

import (
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

func TestCPUConformance(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	optest.Run(t, b)
}
