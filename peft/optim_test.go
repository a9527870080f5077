package peft_test

import (
	"encoding/json"
	"errors"
	"fmt"
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
		optimCase
		Float64 map[string][]float64
	}
	AdamW8bit, Adafactor, Lion, SGD []optimCase
	Schedules                       []struct {
		Name   string
		LR     float64
		Warmup int `json:"warmup_steps"`
		Steps  int
		Every  int       // steps from one of LRs to the next
		LRs    []float64 `json:"lrs"`
	}
	Clip []struct {
		MaxNorm       float32 `json:"max_norm"`
		Norm          float64
		Before, After [][]float32
	}
}

// optimCase is one setting of an optimizer.
type optimCase struct {
	LR, Momentum, Eps float32
	Betas             [2]float32
	WeightDecay       float32 `json:"weight_decay"`
	Shape             []int
	Size              int
	Used              []int
	Start             []float32
	Params            map[string][]float64 // by step
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
		schedule, warmup, least := peft.Schedule(s.Name), s.Warmup, 0.0
		switch s.Name {
		case "constant": // in transformers the one without warm-up
			warmup = 0
		case "constant_with_warmup":
			schedule = peft.Constant
		case "cosine_min":
			schedule, least = peft.Cosine, 0.1
		}
		for i, want := range s.LRs {
			step := i * s.Every
			if got := s.LR * schedule.Factor(step, warmup, s.Steps, least); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s, warm-up %d, step %d: %v, want %v", s.Name, s.Warmup, step, got, want)
			}
		}
	}
}

// maxOptimError is relative to the parameter, after 1,000 steps, of float32 arithmetic to
// the reference's.
const maxOptimError = 1e-5

// followed is a parameter that takes the reference's steps.
type followed struct {
	*testing.T
	b                 tensor.Backend
	param, grad, clip *tensor.Tensor
	used              []int // the places whose values are compared
}

func newFollowed(t *testing.T, b tensor.Backend, start []float32, size int, used []int) *followed {
	values := make([]float32, size)
	for i, x := range start {
		values[used[i]] = x
	}
	return &followed{t, b, floats(t, b, values), floats(t, b, make([]float32, size)), floats(t, b, []float32{0, 1}), used}
}

// zeros makes a tensor of state.
func (f *followed) zeros(n int) *tensor.Tensor { return floats(f.T, f.b, make([]float32, n)) }

// codes makes a tensor of four 8-bit codes a value.
func (f *followed) codes(n int) *tensor.Tensor {
	x, err := f.b.New("codes", tensor.I32, n)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { x.Close() })
	return x
}

// steps takes 1,000 steps and compares some.
func (f *followed) steps(want map[string][]float64, gradient func(i, step int) float32, op func(step int) tensor.Op) {
	f.Helper()
	g := make([]float32, f.grad.Len())
	compared := 0
	for step := 1; step <= 1000; step++ {
		for i, at := range f.used {
			g[at] = gradient(i, step)
		}
		if err := tensor.WriteFloats(f.Context(), f.b, f.grad, g); err != nil {
			f.Fatal(err)
		}
		submit(f.T, f.b, op(step))
		values, ok := want[strconv.Itoa(step)]
		if !ok {
			continue
		}
		got := read(f.T, f.b, f.param)
		for i, w := range values {
			if e := math.Abs(float64(got[f.used[i]]) - w); e > maxOptimError*max(1, math.Abs(w)) {
				f.Errorf("step %d, value %d: %v, want %v", step, i, got[f.used[i]], w)
			}
		}
		compared++
	}
	if compared != 6 {
		f.Errorf("%d steps compared, want 6", compared)
	}
}

// The gradients of the references; they are exact in float32.
func fadingGradient(i, step int) float32 {
	return float32((37*step+101*i+13*step*i)%257-128) / 64 * float32(math.Pow(2, -4*float64(i)))
}

func evenGradient(i, step int) float32 {
	return (float32((37*step+101*i+13*step*i)%256) - 127.5) / 64
}

func firstPlaces(n int) []int {
	places := make([]int, n)
	for i := range places {
		places[i] = i
	}
	return places
}

// TestOptimizers follows PyTorch's and transformers' optimizers, and float64 programs of
// those that they lack, over 1,000 steps.
func TestOptimizers(t *testing.T) {
	all := loadOptim(t)
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		for i, c := range all.AdamW {
			t.Run(fmt.Sprint("adamw/", i), func(t *testing.T) {
				n := len(c.Start)
				f := newFollowed(t, b, c.Start, n, firstPlaces(n))
				m, v := f.zeros(n), f.zeros(n)
				f.steps(c.Float64, fadingGradient, func(step int) tensor.Op {
					return tensor.AdamW{
						Param: f.param, M: m, V: v, Grad: f.grad, Clip: f.clip, LR: c.LR, Beta1: c.Betas[0], Beta2: c.Betas[1],
						Eps: c.Eps, WeightDecay: c.WeightDecay, Step: step,
					}
				})
			})
		}
		for i, c := range all.AdamW8bit {
			t.Run(fmt.Sprint("adamw8bit/", i), func(t *testing.T) {
				f := newFollowed(t, b, c.Start, c.Size, c.Used)
				blocks := tensor.MomentBlocks(c.Size)
				m, v, mMax, vMax := f.codes(blocks*64), f.codes(blocks*64), f.zeros(blocks), f.zeros(blocks)
				maps := floats(t, b, slices.Concat(tensor.DynamicMap(true), tensor.DynamicMap(false)))
				f.steps(c.Params, evenGradient, func(step int) tensor.Op {
					return tensor.AdamW8{
						Param: f.param, M: m, V: v, MMax: mMax, VMax: vMax, Grad: f.grad, Clip: f.clip, Maps: maps, LR: c.LR,
						Beta1: c.Betas[0], Beta2: c.Betas[1], Eps: c.Eps, WeightDecay: c.WeightDecay, Step: step,
					}
				})
			})
		}
		for _, c := range all.Adafactor {
			t.Run(fmt.Sprint("adafactor/", c.Shape, "/", c.WeightDecay), func(t *testing.T) {
				n, cols, matrices := len(c.Start), c.Shape[len(c.Shape)-1], 1
				if len(c.Shape) == 3 {
					matrices = c.Shape[0]
				}
				f := newFollowed(t, b, c.Start, n, firstPlaces(n))
				row, col := f.zeros(n/cols), f.zeros(matrices*cols)
				param, err := f.param.Reshape(n/cols, cols)
				if err != nil {
					t.Fatal(err)
				}
				f.steps(c.Params, evenGradient, func(step int) tensor.Op {
					return tensor.Adafactor{
						Param: param, Row: row, Col: col, Grad: f.grad, Clip: f.clip, Matrices: matrices, LR: c.LR,
						WeightDecay: c.WeightDecay, Step: step,
					}
				})
			})
		}
		for i, c := range all.Lion {
			t.Run(fmt.Sprint("lion/", i), func(t *testing.T) {
				n := len(c.Start)
				f := newFollowed(t, b, c.Start, n, firstPlaces(n))
				m := f.zeros(n)
				f.steps(c.Params, evenGradient, func(int) tensor.Op {
					return tensor.Lion{
						Param: f.param, M: m, Grad: f.grad, Clip: f.clip, LR: c.LR, Beta1: c.Betas[0], Beta2: c.Betas[1],
						WeightDecay: c.WeightDecay,
					}
				})
			})
		}
		for i, c := range all.SGD {
			t.Run(fmt.Sprint("sgd/", i), func(t *testing.T) {
				n := len(c.Start)
				f := newFollowed(t, b, c.Start, n, firstPlaces(n))
				m := f.zeros(n)
				f.steps(c.Params, evenGradient, func(int) tensor.Op {
					return tensor.SGD{Param: f.param, M: m, Grad: f.grad, Clip: f.clip, LR: c.LR, Momentum: c.Momentum, WeightDecay: c.WeightDecay}
				})
			})
		}
	})
}

// TestOptimizerMemory counts the bytes that optimizers remember for each parameter.
func TestOptimizerMemory(t *testing.T) {
	b := tensor.NewCPU(0)
	defer b.Close()
	m := golden.Load(t, "llama2").Model(t, b)
	a, err := peft.New(t.Context(), m, peft.FullConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for optimizer, bounds := range map[peft.Optimizer][2]float64{
		peft.AdamW: {8, 8.6}, peft.AdamW8bit: {2, 2.4}, peft.Adafactor: {0.1, 0.5}, peft.Lion: {4, 4.3}, peft.SGD: {4, 4.3},
	} {
		n, err := peft.OptimizerMemory(t.Context(), a, optimizer)
		if err != nil {
			t.Fatal(err)
		}
		if each := float64(n) / float64(a.Params().Count()); each < bounds[0] || each > bounds[1] {
			t.Errorf("%s: %.2f bytes a parameter, want %v", optimizer, each, bounds)
		}
	}
	if _, err := peft.OptimizerMemory(t.Context(), a, "adam"); !errors.Is(err, peft.ErrConfig) {
		t.Errorf("error %v", err)
	}
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
