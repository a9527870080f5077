package gpu

import (
	"context"
	"errors"
	"testing"
)

func TestChooseAdapter(t *testing.T) {
	infos := []AdapterInfo{
		{Name: "llvmpipe (LLVM 15.0.6, 256 bits)", Type: SoftwareGPU},
		{Name: "Intel(R) UHD Graphics", Type: IntegratedGPU},
		{Name: "NVIDIA GeForce RTX 3060", Type: DiscreteGPU},
		{Name: "NVIDIA GeForce RTX 4090", Type: DiscreteGPU},
	}
	tests := map[string]int{"": 2, "0": 2, "1": 3, "3": 0, "4090": 3, "nvidia": 2, "UHD": 1, "llvm": 0, "4": 3, "-1": -1, "radeon": -1}
	for want, index := range tests {
		got, err := choose(infos, want)
		if index < 0 {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%q: error %v, want ErrUnavailable", want, err)
			}
		} else if err != nil || got != index {
			t.Errorf("%q: adapter %d, error %v, want %d", want, got, err, index)
		}
	}
}

func TestLowered(t *testing.T) {
	have := DefaultLimits()
	have.WorkgroupsPerDim = 1 << 31
	got, err := lowered(have, nil)
	if err != nil || got.WorkgroupsPerDim != 65535 {
		t.Errorf("%d workgroups, %v; WebGPU has 65535", got.WorkgroupsPerDim, err)
	}
	got, err = lowered(have, &Limits{BindingSize: 1024})
	if want := DefaultLimits(); err != nil || got.BindingSize != 1024 || got.BufferSize != want.BufferSize {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCancelledBeforeOpening(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Adapters(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Adapters: %v", err)
	}
	if _, err := OpenDevice(ctx, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenDevice: %v", err)
	}
}
