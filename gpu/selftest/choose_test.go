package selftest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/tensor"
)

// Whatever the adapter, the choice takes less than a second.
func TestChoose(t *testing.T) {
	for _, kind := range []gpu.AdapterType{gpu.SoftwareGPU, gpu.DiscreteGPU} {
		for name, limits := range map[string]gpu.Limits{"default": gpu.DefaultLimits(), "large": gpu.LargeLimits()} {
			began := time.Now()
			cases, err := choose(t.Context(), gpu.AdapterInfo{Name: "plan", Type: kind}, limits)
			kernels := 0
			for _, c := range cases {
				kernels += c.kernels
			}
			if err != nil || kernels < 100 || len(cases) < 50 || len(cases) > kernels {
				t.Errorf("%s adapter, %s limits: %d cases, %d kernels, %v", kind, name, len(cases), kernels, err)
			}
			t.Logf("%s adapter, %s limits: %d cases for %d kernels in %v", kind, name, len(cases), kernels, time.Since(began))
		}
	}
}

// crooked scales by a little more than it should.
type crooked struct{ *gpu.Backend }

func (c crooked) Run(ctx context.Context, ops []tensor.Op) error {
	for i, o := range ops {
		if s, ok := o.(tensor.Scale); ok {
			s.Factor += 0.01
			ops[i] = s
		}
	}
	return c.Backend.Run(ctx, ops)
}

func TestWrongKernelIsNamed(t *testing.T) {
	b := backends.GPU(t).(*gpu.Backend)
	cases, err := choose(t.Context(), b.Device().Info(), b.Device().Limits())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if !strings.HasPrefix(c.Name, "scale/") {
			continue
		}
		err := compare(t.Context(), crooked{b}, tensor.NewFloat64(), c.Case)
		var wrong *WrongError
		if !errors.As(err, &wrong) || !slices.Equal(wrong.Operations, []string{"scale"}) ||
			!strings.Contains(err.Error(), "kernel elementwise.scale") || !strings.Contains(err.Error(), c.Name) {
			t.Errorf("error %v", err)
		}
		return
	}
	t.Error("scale isn't tested")
}
