package tensor_test

import (
	"errors"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

func TestPlanCountsLikeTheCPU(t *testing.T) {
	plan, cpu := tensor.NewPlan(tensor.Limits{}), tensor.NewCPU(1)
	defer cpu.Close()
	for _, b := range []tensor.Backend{plan, cpu} {
		x, err := b.New("x", tensor.F32, 3, 64)
		if err != nil {
			t.Fatal(err)
		}
		w, err := b.New("w", tensor.Q4_0, 5, 64)
		if err != nil {
			t.Fatal(err)
		}
		out, err := b.New("out", tensor.F32, 3, 5)
		if err != nil {
			t.Fatal(err)
		}
		p := tensor.Begin(b)
		p.Do(tensor.MatMul{Out: out, X: x, W: w})
		if err := p.Submit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := plan.Memory(), cpu.Memory(); got != want || got.InUse != 5*2*18+3*5*4 || got.Peak != got.InUse+3*64*4 {
		t.Errorf("plan %+v, CPU %+v", got, want)
	}
}

func TestPlanRefuses(t *testing.T) {
	plan := tensor.NewPlan(tensor.Limits{MaxTensorBytes: 1000})
	for _, c := range []struct {
		dt    tensor.DType
		shape []int
		want  error
	}{
		{tensor.F32, []int{251}, tensor.ErrMemory},
		{tensor.Q8_0, []int{2, 48}, tensor.ErrShape},
		{tensor.F32, nil, tensor.ErrShape},
		{tensor.DType(200), []int{1}, tensor.ErrType},
	} {
		if _, err := plan.New("t", c.dt, c.shape...); !errors.Is(err, c.want) {
			t.Errorf("%v%v: %v, want %v", c.dt, c.shape, err, c.want)
		}
	}
	if got := plan.Memory(); got != (tensor.Memory{}) {
		t.Errorf("%+v after nothing but errors", got)
	}
	if err := plan.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.New("t", tensor.F32, 1); !errors.Is(err, tensor.ErrClosed) {
		t.Errorf("%v after Close", err)
	}
}
