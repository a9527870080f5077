package bench_test

import (
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/peft/bench"
	"github.com/gpupeft/gpupeft/tensor"
)

// BenchmarkRecording is what the host takes for the passes of a model, without a GPU:
// from operations to dispatches.
func BenchmarkRecording(b *testing.B) {
	for _, part := range []bench.Part{bench.Step, bench.Decode} {
		b.Run(string(part), func(b *testing.B) {
			plan, err := gpu.OpenPlan(gpu.AdapterInfo{Type: gpu.DiscreteGPU}, gpu.LargeLimits(), gpu.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer plan.Close()
			c := bench.Config{Shape: "llama-3.2-1b", DType: tensor.F16, Batch: 4, Length: 512, Parts: []bench.Part{part}}
			err = bench.Dry(b.Context(), plan, c, func(_ bench.Result, once func() error) error {
				before := plan.Work().Dispatches
				for b.Loop() {
					if err := once(); err != nil {
						return err
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(plan.Work().Dispatches-before), "µs/dispatch")
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
