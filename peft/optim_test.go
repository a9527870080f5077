package peft_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/internal/golden"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
)

// optimGolden is what PyTorch's optimizer and transformers' schedules give.
type optimGolden struct {
	AdamW []struct {
		LR          float32
		Betas       [2]float32
		Eps         float32
		WeightDecay float32 `json:"weight_decay"`
		Start       []float32
		Float32     map[string][]float64
	}
	Schedules []struct {
		Name   string
		LR     float64
		Warmup int `json:"warmup_steps"`
		Steps  int
		LRs    []float64 `json:"lrs"`
	}
	Clip []struct {
		MaxNorm       float32 `json:"max_norm"`
		Norm          float64
		Before, After [][]float32
	}
}

func loadOptim(t *testing.T) (g optimGolden) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(golden.Root(), "optim.json"))
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSchedules(t *testing.T) {
	for _, s := range loadOptim(t).Schedules {
		schedule, warmup := peft.Schedule(s.Name), s.Warmup
		switch s.Name {
		case "constant": // in transformers the one without warm-up
			warmup = 0
		case "constant_with_warmup":
			schedule = peft.Constant
		}
		for step, want := range s.LRs {
			if got := s.LR * schedule.Factor(step, warmup, s.Steps); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s, warm-up %d, step %d: %v, want %v", s.Name, s.Warmup, step, got, want)
			}
		}
	}
}

// maxAdamWError is relative to the parameter, after 1,000 steps, between two float32
// implementations.
const maxAdamWError = 1e-5

// TestAdamW follows torch.optim.AdamW over 1,000 steps.
func TestAdamW(t *testing.T) {
	gradient := func(i, step int) float32 { // exact in float32
		return float32((37*step+101*i+13*step*i)%257-128) / 64 * float32(math.Pow(2, -4*float64(i)))
	}
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, c := range loadOptim(t).AdamW {
			param, grad := floats(t, b, c.Start), floats(t, b, c.Start)
			m, v := floats(t, b, make([]float32, len(c.Start))), floats(t, b, make([]float32, len(c.Start)))
			clip := floats(t, b, []float32{0, 1})
			for step := 1; step <= 1000; step++ {
				g := make([]float32, len(c.Start))
				for i := range g {
					g[i] = gradient(i, step)
				}
				if err := tensor.WriteFloats(t.Context(), b, grad, g); err != nil {
					t.Fatal(err)
				}
				submit(t, b, tensor.AdamW{Param: param, M: m, V: v, Grad: grad, Clip: clip, LR: c.LR, Beta1: c.Betas[0], Beta2: c.Betas[1],
					Eps: c.Eps, WeightDecay: c.WeightDecay, Step: step})
				want, ok := c.Float32[strconv.Itoa(step)]
				if !ok {
					continue
				}
				for i, got := range read(t, b, param) {
					if e := math.Abs(float64(got) - want[i]); e > maxAdamWError*max(1, math.Abs(want[i])) {
						t.Errorf("weight decay %v, step %d, value %d: %v, want %v", c.WeightDecay, step, i, got, want[i])
					}
				}
			}
		}
	})
}

// TestClip follows torch.nn.utils.clip_grad_norm_.
func TestClip(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for _, c := range loadOptim(t).Clip {
			grad := floats(t, b, slices.Concat(c.Before...))
			sums, clip := floats(t, b, make([]float32, 3)), floats(t, b, make([]float32, 2))
			submit(t, b, tensor.SumSquares{Out: sums, X: grad}, tensor.ClipNorm{Clip: clip, Sums: sums, Max: c.MaxNorm})
			got := read(t, b, clip)
			golden.NearNumber(t, "norm", float64(got[0]), c.Norm, 1e-6)
			for i, want := range slices.Concat(c.After...) {
				if before := slices.Concat(c.Before...)[i]; before != 0 {
					golden.NearNumber(t, "clipped value", float64(before*got[1]), float64(want), 1e-6)
				}
			}
		}
	})
}

func floats(t *testing.T, b tensor.Backend, v []float32) *tensor.Tensor {
	t.Helper()
	x, err := tensor.FromFloats(t.Context(), b, "x", v, len(v))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func submit(t *testing.T, b tensor.Backend, ops ...tensor.Op) {
	t.Helper()
	p := tensor.Begin(b)
	p.Do(ops...)
	if err := p.Submit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, b tensor.Backend, x *tensor.Tensor) []float32 {
	t.Helper()
	v, err := tensor.Floats(t.Context(), b, x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
