package gpu_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// openOnCPU opens a GPU that leaves operations to the CPU.
func openOnCPU(t *testing.T, names ...string) *gpu.Backend {
	t.Helper()
	backends.GPU(t) // skips where there is none
	b, err := gpu.Open(t.Context(), gpu.Config{OnCPU: names})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// TestEveryOperationOnCPU: each operation can be left to the CPU, and no kernel is used for it.
func TestEveryOperationOnCPU(t *testing.T) {
	plan, err := gpu.OpenPlan(gpu.AdapterInfo{Type: gpu.DiscreteGPU}, gpu.LargeLimits(), gpu.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	var names []string
	var cases []optest.Case // one of each operation
	for _, c := range optest.Cases() {
		ops, free, err := c.Ops(plan)
		if err != nil {
			t.Fatal(err)
		}
		fresh := false
		for _, o := range ops {
			if !slices.Contains(names, o.Name()) {
				names, fresh = append(names, o.Name()), true
			}
		}
		if fresh {
			cases = append(cases, c)
		}
		if err := free(); err != nil {
			t.Fatal(err)
		}
	}
	b, oracle := openOnCPU(t, names...), tensor.NewFloat64()
	defer oracle.Close()
	for _, c := range cases {
		if err := c.Check(t.Context(), b, oracle); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	if len(names) < 40 || len(b.Kernels()) > 0 {
		t.Errorf("%d operations, and kernels %v", len(names), b.Kernels())
	}
	if m := b.Memory(); m.Tensors != 0 {
		t.Errorf("%d tensors are left", m.Tensors)
	}
}

// TestSomeOperationsOnCPU: operations before and behind one on the CPU see the right values, in place too.
func TestSomeOperationsOnCPU(t *testing.T) {
	b := openOnCPU(t, "scale")
	x, err := b.New("x", tensor.F32, 2, 64)
	if err != nil {
		t.Fatal(err)
	}
	row, err := x.Slice(1, 2) // a view, at the alignment of views
	if err != nil {
		t.Fatal(err)
	}
	err = b.Run(t.Context(), []tensor.Op{
		tensor.Fill{Out: x, Value: 2},
		tensor.Scale{Out: row, X: row, Factor: 3},
		tensor.Add{Out: x, A: x, B: x},
		tensor.Scale{Out: x, X: x, Factor: 0.5},
		tensor.Add{Out: x, A: x, B: x},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float32, x.Len())
	if err := tensor.ReadFloats(t.Context(), b, x, got); err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if want := []float64{4, 12}[i/64]; math.Abs(float64(v)-want) > 1e-6 {
			t.Fatalf("value %d is %v, want %v", i, v, want)
		}
	}
}
