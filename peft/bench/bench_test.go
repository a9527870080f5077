package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/internal/backends"
	"github.com/gpupeft/gpupeft/peft/bench"
	"github.com/gpupeft/gpupeft/tensor"
)

func tiny() bench.Config {
	return bench.Config{Shape: "tiny", Batch: 2, Length: 16, Time: time.Millisecond}
}

// TestRun: every part gives plausible numbers, for dense and quantized matrices, and
// nothing is left behind.
func TestRun(t *testing.T) {
	backends.Each(t, func(t *testing.T, b tensor.Backend) {
		before := b.Memory()
		for _, dt := range []tensor.DType{tensor.F32, tensor.Q4_0} {
			c := tiny()
			c.DType, c.Profile = dt, true
			seen := map[bench.Part]int{}
			for r, err := range bench.Run(t.Context(), b, c) {
				if err != nil {
					t.Fatal(err)
				}
				seen[r.Part]++
				if r.Dropped != "" {
					t.Errorf("%s is left out: %s", r.Name, r.Dropped)
					continue
				}
				if r.Name == "" || r.Calls < 1 || r.Best <= 0 || r.Median < r.Best || !(r.GFlops() > 0) && r.Flops > 0 {
					t.Errorf("%+v", r)
				}
				if pass := r.Part != bench.Kernels; pass != (r.TokensPerSecond() > 0) || pass != (r.Memory > 0) {
					t.Errorf("%+v", r)
				}
				wantProducts(t, r)
				if gpu := b.Info().Kind == "gpu"; r.Part != bench.Kernels && gpu != slices.ContainsFunc(r.Kernels, func(k bench.Kernel) bool {
					return strings.HasPrefix(k.Name, "matmul.nt.") && k.Calls > 0 && k.GFlops() >= 0
				}) {
					t.Errorf("%s: kernels %+v", r.Name, r.Kernels)
				}
			}
			if seen[bench.Kernels] < 15 || seen[bench.Forward] != 1 || seen[bench.Prefill] != 1 || seen[bench.Step] != 1 || seen[bench.Prompt] != 1 || seen[bench.Decode] != 1 {
				t.Errorf("%v: %v", dt, seen)
			}
		}
		if after := b.Memory(); after.InUse != before.InUse || after.Tensors != before.Tensors {
			t.Errorf("memory %+v before, %+v after", before, after)
		}
	})
}

// wantProducts: steps, and nothing else, tell what of them are products of matrices. The
// frozen weights' are those that a step's operations count, but that none goes below the
// first LoRA; LoRA's come on top.
func wantProducts(t *testing.T, r bench.Result) {
	t.Helper()
	step := r.Part == bench.Step || r.Part == bench.Prompt
	if step != (r.Products != nil) {
		t.Errorf("%s: products %+v", r.Name, r.Products)
	}
	if !step {
		return
	}
	alone, with := r.ProductShare()
	p := r.Products
	if p.Calls < 1 || p.Median <= 0 || p.Flops < 0.8*r.Flops || p.Flops > 1.2*r.Flops || p.Attention <= 0 || alone <= 0 || with <= alone {
		t.Errorf("%s of %g operations: products %+v, share %g, %g", r.Name, r.Flops, p, alone, with)
	}
}

func TestUnknownShape(t *testing.T) {
	b := tensor.NewCPU(1)
	defer b.Close()
	c := tiny()
	c.Shape = "llama-9"
	for _, part := range bench.Parts {
		c.Parts = []bench.Part{part}
		for _, err := range bench.Run(t.Context(), b, c) {
			if !errors.Is(err, bench.ErrShape) || !strings.Contains(err.Error(), "smollm2-135m") {
				t.Errorf("%s: %v", part, err)
			}
		}
	}
	if err := bench.Dry(t.Context(), b, c, nil); !errors.Is(err, bench.ErrShape) {
		t.Errorf("dry: %v", err)
	}
}

// dryStep counts a step as a large GPU would get it.
func dryStep(t testing.TB, c bench.Config) (gpu.Work, int64) {
	t.Helper()
	plan, err := gpu.OpenPlan(gpu.AdapterInfo{Name: "planned", Type: gpu.DiscreteGPU}, gpu.LargeLimits(), gpu.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	c.Parts = []bench.Part{bench.Step}
	var w gpu.Work
	var memory int64
	err = bench.Dry(t.Context(), plan, c, func(r bench.Result, once func() error) error {
		before := plan.Work()
		if err := once(); err != nil {
			return err
		}
		w, memory = plan.Work().Sub(before), r.Memory
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := plan.Memory(); left.InUse != 0 || left.Tensors != 0 {
		t.Errorf("%+v is left", left)
	}
	return w, memory
}

// TestStepGrows: the work of a step is linear in layers and batch, and nothing of a 7B
// model's step is left to the host but ids, loss and norm.
func TestStepGrows(t *testing.T) {
	c := bench.Config{Shape: "llama-2-7b", DType: tensor.Q4_0, Batch: 1, Length: 512, Layers: 4}
	four, small := dryStep(t, c)
	c.Layers = 8
	eight, deep := dryStep(t, c)
	c.Layers = 12
	twelve, _ := dryStep(t, c)
	if a, b := eight.Dispatches-four.Dispatches, twelve.Dispatches-eight.Dispatches; a != b || a > 4*60 {
		t.Errorf("four more layers take %d, then %d dispatches", a, b)
	}
	if a, b := eight.Flops-four.Flops, twelve.Flops-eight.Flops; !(a > 0) || a/b < 0.999 || a/b > 1.001 {
		t.Errorf("four more layers take %g, then %g operations", a, b)
	}
	c.Layers, c.Batch = 4, 2
	two, wide := dryStep(t, c)
	if r := two.Flops / four.Flops; r < 1.99 || r > 2.01 {
		t.Errorf("twice the batch takes %g times the operations", r)
	}
	if wide > 2*small || deep > 2*small {
		t.Errorf("memory %d, with twice the layers %d, with twice the batch %d", small, deep, wide)
	}
	if host := four.Uploaded + four.ReadBack; host > 64*512 {
		t.Errorf("%d bytes between host and GPU in a step of 512 tokens", host)
	}
	if four.Submissions > 20 {
		t.Errorf("%d submissions", four.Submissions)
	}
}

// TestStepMemory: a step of a model of 1.2 billion float32 weights, 4×512 tokens, within
// 0.6 times what PyTorch and PEFT take for it.
func TestStepMemory(t *testing.T) {
	const torch = 15.14e9 // docs/BENCHMARKS.md
	_, memory := dryStep(t, bench.Config{Shape: "llama-3.2-1b", Batch: 4, Length: 512})
	if float64(memory) > 0.6*torch {
		t.Errorf("%d bytes, want at most 0.6 × %.0f", memory, torch)
	}
}

func ExampleRun() {
	b := tensor.NewCPU(0)
	defer b.Close()
	config := bench.Config{Shape: "tiny", Batch: 2, Length: 16, Time: time.Millisecond, Parts: []bench.Part{bench.Step}}
	for r, err := range bench.Run(context.Background(), b, config) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Println(r.Part, r.Name, r.TokensPerSecond() > 0)
	}
	// Output: step LoRA r 8 on q, v, 2×16 tokens true
}

func ExampleDry() {
	plan, err := gpu.OpenPlan(gpu.AdapterInfo{Name: "a large GPU", Type: gpu.DiscreteGPU}, gpu.LargeLimits(), gpu.Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer plan.Close()
	config := bench.Config{Shape: "llama-3.1-8b", DType: tensor.Q4_0, Batch: 1, Length: 512, Parts: []bench.Part{bench.Forward}}
	err = bench.Dry(context.Background(), plan, config, func(r bench.Result, once func() error) error {
		before := plan.Work()
		if err := once(); err != nil {
			return err
		}
		w := plan.Work().Sub(before)
		fmt.Printf("%s: %.1f TFLOP, %t\n", r.Name, w.Flops/1e12, w.Dispatches < 600)
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	// Output: loss of 1×512 tokens: 7.8 TFLOP, true
}
