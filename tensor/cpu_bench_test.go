package tensor_test

import (
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// BenchmarkCPU times operations at the sizes of a model of a billion parameters
// and 512 tokens.
func BenchmarkCPU(b *testing.B) {
	const tokens, width, hidden, vocab = 512, 2048, 5632, 8000
	cpu := newCPU(b, 0)
	x := func(shape ...int) *tensor.Tensor { return vector(b, cpu, 0.01, shape...) }
	targets, err := cpu.New("targets", tensor.I32, tokens)
	if err != nil {
		b.Fatal(err)
	}
	half, err := cpu.New("half", tensor.BF16, width, width)
	if err != nil {
		b.Fatal(err)
	}
	h := tensor.Heads{Batch: 1, Queries: tokens, Keys: tokens, Heads: 32, KVHeads: 4, Dim: 64, Scale: 0.125}
	q, kv, stats := x(tokens, 2048), x(tokens, 256), x(tokens*32, 2)
	for _, o := range []tensor.Op{
		tensor.MatMul{Out: x(tokens, width), X: q, W: half},
		tensor.MatMulDX{DX: x(tokens, width), DOut: q, W: half},
		tensor.Attention{Z: x(tokens, 2048), Stats: stats, Q: q, K: kv, V: kv, Heads: h},
		tensor.AttentionBackward{DQ: x(tokens, 2048), DK: x(tokens, 256), DV: x(tokens, 256), DZ: q, Z: q, Stats: stats, Q: q, K: kv, V: kv, Heads: h},
		tensor.RMSNorm{Out: x(tokens, width), RMS: x(tokens), X: q, W: x(width)},
		tensor.GatedBackward{DGate: x(tokens, hidden), DUp: x(tokens, hidden), DOut: x(tokens, hidden), Gate: x(tokens, hidden), Up: x(tokens, hidden)},
		tensor.CrossEntropy{Stats: x(tokens, tensor.StatsWidth), Logits: x(tokens, vocab), Targets: targets},
		tensor.AdamW{Param: x(1 << 20), M: x(1 << 20), V: x(1 << 20), Grad: x(1 << 20), Clip: x(2), Beta1: 0.9, Beta2: 0.99, Step: 1},
	} {
		b.Run(o.Name(), func(b *testing.B) {
			for b.Loop() {
				if err := submit(b.Context(), cpu, o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(o.Flops()*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
