package bench_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/peft/bench"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// axes are the sizes that the cost of a step grows with, smallest first.
var axes = []struct {
	name  string
	sizes []int
	set   func(c *bench.Config, size int)
}{
	{"sequences", []int{1, 2, 4, 8}, func(c *bench.Config, n int) { c.Batch = n }},
	{"layers", []int{2, 4, 8, 16}, func(c *bench.Config, n int) { c.Layers = n }},
	{"tokens of a sequence", []int{64, 128, 256, 512, 1024}, func(c *bench.Config, n int) { c.Length = n }},
}

// middle is the size of everything that doesn't grow.
func middle() bench.Config { return bench.Config{Layers: 4, Batch: 2, Length: 128} }

// TestMemoryGrowsLinearly: twice as many sequences, layers or tokens take twice as much more memory, in training and
// without gradients: there is no term of length squared.
func TestMemoryGrowsLinearly(t *testing.T) {
	for _, part := range []bench.Part{bench.Forward, bench.Prefill, bench.Step, bench.Prompt} {
		for _, axis := range axes {
			var memory []int64
			for _, n := range axis.sizes {
				c := middle()
				c.Parts = []bench.Part{part}
				axis.set(&c, n)
				plan, err := gpu.OpenPlan(gpu.AdapterInfo{Type: gpu.DiscreteGPU}, gpu.LargeLimits(), gpu.Config{})
				if err != nil {
					t.Fatal(err)
				}
				err = bench.Dry(t.Context(), plan, c, func(r bench.Result, _ func() error) error {
					memory = append(memory, r.Memory)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				plan.Close()
			}
			for i := range len(memory) - 2 {
				if first, second := memory[i+1]-memory[i], memory[i+2]-memory[i+1]; second > first*21/10 {
					t.Errorf("%s, %s %d: %d bytes more than half as many, which take %d more than a quarter", part, axis.name, axis.sizes[i+2], second, first)
				}
			}
		}
	}
}

// TestScaling measures on the CPU how steps grow, and loading beside reading the file, and prints both as tables; see
// docs/BENCHMARKS.md.
func TestScaling(t *testing.T) {
	if os.Getenv("GPUPEFT_SCALING") == "" {
		t.Skip("measures for a minute: GPUPEFT_SCALING=1, as make scaling does")
	}
	fmt.Println("| step of LoRA r 8 on q, v | ms | µs a token and layer | MB |\n| --- | --- | --- | --- |")
	for _, axis := range axes {
		var times []float64
		for _, n := range axis.sizes {
			c := middle()
			c.Parts, c.Time = []bench.Part{bench.Step}, 3*time.Second
			axis.set(&c, n)
			b := tensor.NewCPU(0)
			for r, err := range bench.Run(t.Context(), b, c) {
				if err != nil {
					t.Fatal(err)
				}
				times = append(times, r.Median.Seconds())
				fmt.Printf("| %d layers, %d×%d tokens | %.0f | %.1f | %.0f |\n", c.Layers, c.Batch, c.Length,
					1e3*r.Median.Seconds(), 1e6*r.Median.Seconds()/float64(c.Layers*c.Batch*c.Length), float64(r.Memory)/1e6)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		for i := range len(times) - 1 {
			if times[i+1] > 2.5*times[i] {
				t.Errorf("%s: %d take %.1f times as long as %d", axis.name, axis.sizes[i+1], times[i+1]/times[i], axis.sizes[i])
			}
		}
	}
	loading(t)
}

// loading compares loading a model with reading its file into memory, each in processes of its own, whose memory is new.
func loading(t *testing.T) {
	fmt.Println("\n| loading SmolLM2 | s | reading the file, s | ratio |\n| --- | --- | --- | --- |")
	for _, path := range []string{"../../out/smollm2/model.gguf", "../../out/smollm2/hf/model.safetensors"} {
		if _, err := os.Stat(path); err != nil {
			t.Logf("%v: make smollm2 out/smollm2/hf", err)
			continue
		}
		times := map[string][]float64{}
		for range 9 {
			for _, how := range []string{"read", "load"} {
				process := exec.Command(os.Args[0], "-test.run=^TestTimeToLoad$")
				process.Env = append(os.Environ(), "GPUPEFT_SCALING_FILE="+path, "GPUPEFT_SCALING_HOW="+how)
				out, err := process.Output()
				seconds, bad := strconv.ParseFloat(strings.Fields(string(out) + " -")[0], 64)
				if err != nil || bad != nil {
					t.Fatalf("%s %s: %v, %s", how, path, err, out)
				}
				times[how] = append(times[how], seconds)
			}
		}
		slices.Sort(times["load"])
		slices.Sort(times["read"])
		load, read := times["load"][4], times["read"][4]
		fmt.Printf("| %s | %.3f | %.3f | %.2f |\n", filepath.Base(path), load, read, load/read)
		if load > 1.5*read {
			t.Errorf("loading %s takes %.2f times as long as reading it", path, load/read)
		}
	}
}

// TestTimeToLoad is the process of loading: it prints the seconds that it takes to read a file, or to load the model.
func TestTimeToLoad(t *testing.T) {
	path := os.Getenv("GPUPEFT_SCALING_FILE")
	if path == "" {
		t.Skip("part of TestScaling")
	}
	dir, name := os.DirFS(filepath.Dir(path)), filepath.Base(path)
	b := tensor.NewCPU(0)
	defer b.Close()
	start := time.Now()
	if os.Getenv("GPUPEFT_SCALING_HOW") == "read" {
		if _, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		fmt.Println(time.Since(start).Seconds())
		return
	}
	open := func() (*transformer.Checkpoint, error) { return transformer.Open(dir) }
	if strings.HasSuffix(name, ".gguf") {
		open = func() (*transformer.Checkpoint, error) { return transformer.OpenGGUF(dir, name) }
	}
	c, err := open()
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Load(t.Context(), b, transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(time.Since(start).Seconds())
	if err := errors.Join(m.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}
