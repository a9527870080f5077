package tensor_test

import (
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// TestRebind: all operands of every operation are exchanged, none of the original's, and nothing else.
func TestRebind(t *testing.T) {
	plan := tensor.NewPlan(tensor.Limits{})
	defer plan.Close()
	for _, c := range optest.Cases() {
		ops, free, err := c.Ops(plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range ops {
			before := o.Operands()
			twins := map[*tensor.Tensor]*tensor.Tensor{}
			moved := tensor.Rebind(o, func(x *tensor.Tensor) *tensor.Tensor {
				twin := *x
				twins[x] = &twin
				return &twin
			})
			if moved.Check() != nil || moved.Flops() != o.Flops() || moved.Name() != o.Name() || !slices.Equal(o.Operands(), before) {
				t.Fatalf("%s: %v, %+v becomes %+v", c.Name, moved.Check(), o, moved)
			}
			for i, x := range moved.Operands() {
				if before[i].Name != x.Name || before[i].Access != x.Access || x.Tensor == before[i].Tensor || twins[before[i].Tensor] == nil {
					t.Fatalf("%s: operand %s", c.Name, x.Name)
				}
			}
		}
		if err := free(); err != nil {
			t.Fatal(err)
		}
	}
}
