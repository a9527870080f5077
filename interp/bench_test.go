package interp_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft/bench"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// The batch of BenchmarkInterp: what `inspect-heads` looks at by default.
const benchSequences, benchPeriod = 10, 50

// BenchmarkInterp measures what testdata/bench/tl.py does, and the other parts of inspect-heads, with random weights of
// the same model's shape.
func BenchmarkInterp(b *testing.B) {
	for _, dt := range []tensor.DType{tensor.F32, tensor.Q4_1} {
		b.Run(dt.String(), func(b *testing.B) { benchmarkInterp(b, dt) })
	}
}

func benchmarkInterp(b *testing.B, dt tensor.DType) {
	checkpoint, err := bench.Model("smollm2-135m", 0, dt)
	if err != nil {
		b.Fatal(err)
	}
	be := tensor.NewCPU(0)
	defer be.Close()
	m, err := checkpoint.Load(b.Context(), be, transformer.LoadOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	ids := interp.RepeatedTokens(m.Config, benchSequences, benchPeriod, 1, nil, 0)
	everything := interp.Options{Hooks: []string{"*"}}
	for _, job := range []struct {
		name string
		run  func() error
	}{
		{"patterns", func() error {
			_, err := interp.Patterns(b.Context(), m, ids, interp.PatternOptions{Period: benchPeriod, BOS: true})
			return err
		}},
		{"direct", func() error {
			_, err := interp.Direct(b.Context(), m, ids, interp.NextTokens(ids), interp.DirectOptions{})
			return err
		}},
		{"copying", func() error {
			_, err := interp.Copying(b.Context(), m)
			return err
		}},
		{"residual", func() error {
			_, err := interp.CopyingResidual(b.Context(), m)
			return err
		}},
		{"capture", func() error {
			_, err := interp.Capture(b.Context(), m, ids, everything)
			return err
		}},
		{"file", func() error {
			f, err := os.Create(filepath.Join(b.TempDir(), "trace.safetensors"))
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = interp.CaptureTo(b.Context(), m, ids, everything, f, nil)
			return err
		}},
	} {
		b.Run(job.name, func(b *testing.B) { benchmarkCalls(b, job.run) })
	}
}

// benchmarkCalls reports tokens a second of the median call, and for each second of processor time.
func benchmarkCalls(b *testing.B, call func() error) {
	var clock, processor []time.Duration
	for b.Loop() {
		start, used := time.Now(), cpuTime()
		if err := call(); err != nil {
			b.Fatal(err)
		}
		clock, processor = append(clock, time.Since(start)), append(processor, cpuTime()-used)
	}
	slices.Sort(clock)
	slices.Sort(processor)
	tokens := float64(benchSequences * (1 + 2*benchPeriod))
	b.ReportMetric(tokens/clock[len(clock)/2].Seconds(), "tokens/s")
	if used := processor[len(processor)/2]; used > 0 {
		b.ReportMetric(tokens/used.Seconds(), "tokens/cpu-s")
	}
}
