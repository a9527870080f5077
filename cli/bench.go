package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/peft/bench"
	"github.com/gpupeft/gpupeft/tensor"
)

const benchDescription = `Measures a device with the shapes of a model and random weights; no files are needed.
Rates are medians. Below a step stands how long its matrix products take alone.
Where the device is a GPU, what it can do at most is measured first,
by a kernel that only multiplies and adds and one that only copies.

   gpupeft bench --model-shape llama-3.2-1b --type q4_0 --batch 4 --length 512 --profile

With --gpu-plan nothing is computed, and no GPU is needed: the work of a pass is counted
as it would be handed to a large GPU.

   gpupeft bench --gpu-plan --model-shape llama-2-7b --type q4_0 --length 512`

func (p *program) benchCommand() *cli.Command {
	return &cli.Command{
		Name:        "bench",
		Usage:       "measure kernels, forward passes, training steps and decoding",
		UsageText:   "gpupeft bench [--model-shape NAME] [options]",
		Description: benchDescription,
		Flags: []cli.Flag{
			deviceFlag(),
			&cli.StringFlag{Name: "model-shape", Category: groupInput, Value: "smollm2-135m", Usage: "`NAME`: " + strings.Join(bench.Shapes(), ", ")},
			&cli.IntFlag{Name: "layers", Category: groupInput, Usage: "blocks of the model; 0: all"},
			&cli.StringFlag{Name: "type", Category: groupInput, Value: "f32", Usage: "`TYPE` of the matrices: f32, f16, bf16, q8_0, q4_0, …"},
			&cli.IntFlag{Name: "batch", Category: groupLoop, Value: 4, Usage: "sequences"},
			&cli.IntFlag{Name: "length", Category: groupLoop, Value: 128, Usage: "tokens of a sequence"},
			&cli.BoolFlag{Name: "grad-checkpoint", Category: groupLoop, DisableDefaultText: true, Usage: "steps keep only the stream between layers"},
			&cli.BoolFlag{Name: "kernels", Category: groupLoop, DisableDefaultText: true, Usage: "single operations only"},
			&cli.BoolFlag{Name: "profile", Category: groupLoop, DisableDefaultText: true, Usage: "also the time of every kernel of a pass"},
			&cli.BoolFlag{Name: "gpu-plan", Category: groupLoop, DisableDefaultText: true, Usage: "no measurement: what passes would give a large GPU to do"},
			&cli.StringFlag{Name: "parts", Category: groupLoop, Usage: "what to measure, of kernels,forward,prefill,step,prompt,decode", DefaultText: "all"},
			&cli.DurationFlag{Name: "time", Category: groupLoop, Value: 300 * time.Millisecond, Usage: "for each measurement"},
			jsonFlag("print one JSON object"), quietFlag(),
		},
		Action: p.bench,
	}
}

// benchReport is the result of bench.
type benchReport struct {
	Device  tensor.Info    `json:"device"`
	Shape   string         `json:"model_shape"`
	Type    string         `json:"type"`
	Peak    *benchPeak     `json:"peak,omitempty"`
	Results []bench.Result `json:"results"`
}

// benchPeak is in thousands of millions a second.
type benchPeak struct {
	GFlops float64 `json:"gflops"`
	GBytes float64 `json:"gbytes"`
}

func (p *program) bench(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	config, err := benchConfig(c)
	if err != nil {
		return err
	}
	out := p.output(c)
	if c.Bool("gpu-plan") {
		return p.benchPlan(c, out, config)
	}
	b, note, err := openDevice(c.Context, c.String("device"))
	if err != nil {
		return err
	}
	defer b.Close()
	if note != "" {
		out.warn("%s", note)
	}
	report := benchReport{Device: b.Info(), Shape: config.Shape, Type: config.DType.String()}
	out.say("device  %s", deviceName(report.Device))
	if report.Peak, err = peakOf(c.Context, b); err != nil {
		return err
	}
	if report.Peak != nil {
		out.say("peak    %.0f GFLOP/s, %.0f GB/s", report.Peak.GFlops, report.Peak.GBytes)
	}
	out.say("model   %s, %s, %d×%d tokens\n", config.Shape, config.DType, config.Batch, config.Length)
	out.say("%-40s %10s %9s %5s %8s %5s  %s", "", "median", "GFLOP/s", "peak", "GB/s", "peak", "tokens/s")
	for r, err := range bench.Run(c.Context, b, config) {
		if err != nil {
			return err
		}
		report.Results = append(report.Results, r)
		out.say("%s", report.line(r))
		if r.Products != nil {
			alone, with := r.ProductShare()
			out.say("%s  %.0f %% of the step, with attention's at that rate %.0f %%", report.line(r.Products.Result), 100*alone, 100*with)
		}
		for _, k := range r.Kernels {
			out.say("  %-50s %10s %9.1f   %d calls", k.Name, k.Total.Round(time.Microsecond/10), k.GFlops(), k.Calls)
		}
	}
	if c.Bool("json") {
		return writeJSON(p.out, report)
	}
	return nil
}

func benchConfig(c *cli.Context) (bench.Config, error) {
	config := bench.Config{
		Shape: c.String("model-shape"), Layers: c.Int("layers"), Batch: c.Int("batch"), Length: c.Int("length"),
		Time: c.Duration("time"), Checkpoint: c.Bool("grad-checkpoint"), Profile: c.Bool("profile"),
	}
	var err error
	if config.DType, err = tensor.ParseDType(c.String("type")); err != nil {
		return config, usagef("--type: %v", err)
	}
	if config.Batch < 1 || config.Length < 2 || config.Layers < 0 || config.Time <= 0 {
		return config, usagef("--batch %d --length %d --layers %d --time %v: want at least 1, 2, 0 and some time", config.Batch, config.Length, config.Layers, config.Time)
	}
	if c.Bool("kernels") {
		config.Parts = []bench.Part{bench.Kernels}
	}
	for name := range strings.SplitSeq(c.String("parts"), ",") {
		switch part := bench.Part(name); {
		case name == "":
		case slices.Contains(bench.Parts, part):
			config.Parts = append(config.Parts, part)
		default:
			return config, usagef("--parts: %q is none of kernels, forward, prefill, step, prompt, decode", name)
		}
	}
	return config, nil
}

// peakOf measures what a GPU can do at most; nil for other devices.
func peakOf(ctx context.Context, b tensor.Backend) (*benchPeak, error) {
	g, ok := b.(*gpu.Backend)
	if !ok {
		return nil, nil
	}
	peak, err := g.Peak(ctx)
	if err != nil {
		return nil, err
	}
	return &benchPeak{peak.Flops / 1e9, peak.Bytes / 1e9}, nil
}

// line is a result as a row of the table.
func (r *benchReport) line(x bench.Result) string {
	if x.Dropped != "" {
		return fmt.Sprintf("%-40s left out: %s", x.Name, x.Dropped)
	}
	flops, bytes, tokens := "", "", ""
	share := func(rate float64, peak func(benchPeak) float64) string {
		if r.Peak == nil {
			return ""
		}
		return fmt.Sprintf("%.0f %%", 100*rate/peak(*r.Peak))
	}
	if x.Flops > 0 {
		flops = fmt.Sprintf("%9.1f %5s", x.GFlops(), share(x.GFlops(), func(p benchPeak) float64 { return p.GFlops }))
	}
	if x.Bytes > 0 {
		bytes = fmt.Sprintf("%8.1f %5s", x.GBytes(), share(x.GBytes(), func(p benchPeak) float64 { return p.GBytes }))
	}
	if x.Tokens > 0 {
		tokens = fmt.Sprintf("%.1f", x.TokensPerSecond())
	}
	if x.Memory > 0 {
		tokens += ", " + byteSize(x.Memory)
	}
	return strings.TrimRight(fmt.Sprintf("%-40s %10s %-15s %-14s  %s", x.Name, x.Median.Round(time.Microsecond/10), flops, bytes, tokens), " ")
}

// benchWork is one row of bench --gpu-plan.
type benchWork struct {
	Part   bench.Part `json:"part"`
	Name   string     `json:"name"`
	Memory int64      `json:"memory"` // of all tensors, in bytes
	gpu.Work
}

// benchPlan counts the work of passes on a GPU that isn't there.
func (p *program) benchPlan(c *cli.Context, out *output, config bench.Config) error {
	plan, err := gpu.OpenPlan(gpu.AdapterInfo{Name: "a large GPU", Type: gpu.DiscreteGPU}, gpu.LargeLimits(), gpu.Config{})
	if err != nil {
		return err
	}
	defer plan.Close()
	out.say("model   %s, %s, %d×%d tokens\n", config.Shape, config.DType, config.Batch, config.Length)
	out.say("%-34s %10s %11s %12s %8s %9s %9s %9s %9s", "", "operations", "dispatches", "submissions", "TFLOP", "moved", "uploaded", "read", "memory")
	var rows []benchWork
	err = bench.Dry(c.Context, plan, config, func(r bench.Result, once func() error) error {
		before := plan.Work()
		if err := once(); err != nil {
			return err
		}
		w := benchWork{r.Part, r.Name, r.Memory, plan.Work().Sub(before)}
		if r.Part == bench.Decode {
			w.Name = fmt.Sprintf("%d tokens behind as many", bench.DecodeTokens)
		}
		rows = append(rows, w)
		out.say("%-34s %10d %11d %12d %8.3f %9s %9s %9s %9s", w.Name, w.Operations, w.Dispatches, w.Submissions, w.Flops/1e12,
			byteSize(w.Moved), byteSize(w.Uploaded), byteSize(w.ReadBack), byteSize(w.Memory))
		return nil
	})
	if err == nil && c.Bool("json") {
		err = writeJSON(p.out, rows)
	}
	return err
}
