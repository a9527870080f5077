//go:build unix

package gpu_test

import (
	"fmt"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
)

// BenchmarkAttention has the shapes of two small models, and of decoding.
func BenchmarkAttention(b *testing.B) {
	be := openBackend(b, gpu.Config{})
	for _, h := range []tensor.Heads{
		{Batch: 8, Queries: 128, Keys: 128, Heads: 8, KVHeads: 4, Dim: 8},
		{Batch: 1, Queries: 512, Keys: 512, Heads: 9, KVHeads: 3, Dim: 64},
		{Batch: 1, Queries: 512, Keys: 512, Heads: 4, KVHeads: 1, Dim: 256, Window: 128},
		{Batch: 1, Queries: 1, Keys: 2048, First: 2047, Heads: 9, KVHeads: 3, Dim: 64},
	} {
		h.Scale = 1
		queries := func() *tensor.Tensor { return newTensor(b, be, tensor.F32, h.Batch*h.Queries, h.Heads*h.Dim) }
		keys := func() *tensor.Tensor { return newTensor(b, be, tensor.F32, h.Batch*h.Keys, h.KVHeads*h.Dim) }
		q, k, v, z, stats := queries(), keys(), keys(), queries(), newTensor(b, be, tensor.F32, h.Batch*h.Queries*h.Heads, 2)
		forward := tensor.Attention{Z: z, Stats: stats, Q: q, K: k, V: v, Heads: h}
		name := fmt.Sprintf("%dx%dx%d/heads=%d:%d/dim=%d", h.Batch, h.Queries, h.Keys, h.Heads, h.KVHeads, h.Dim)
		b.Run(name+"/forward", func(b *testing.B) { measure(b, be, forward) })
		b.Run(name+"/backward", func(b *testing.B) {
			measure(b, be, tensor.AttentionBackward{
				DQ: queries(), DK: keys(), DV: keys(), DZ: queries(), Z: z, Stats: stats,
				Q: q, K: k, V: v, Heads: h,
			})
		})
	}
}

// BenchmarkRows has operations that give each row a workgroup.
func BenchmarkRows(b *testing.B) {
	be := openBackend(b, gpu.Config{})
	f32 := func(shape ...int) *tensor.Tensor { return newTensor(b, be, tensor.F32, shape...) }
	out, x, w, rms := f32(1024, 2048), f32(1024, 2048), f32(2048), f32(1024)
	logits, stats, targets := f32(1024, 32768), f32(1024, tensor.StatsWidth), newTensor(b, be, tensor.I32, 1024)
	for _, o := range []tensor.Op{
		tensor.RMSNorm{Out: out, RMS: rms, X: x, W: w, Eps: 1},
		tensor.RMSNormDX{DX: out, DOut: x, X: x, W: w, RMS: rms},
		tensor.RMSNormDW{DW: w, DOut: x, X: x, RMS: rms},
		tensor.Softmax{Out: out, X: x},
		tensor.CrossEntropy{Stats: stats, Logits: logits, Targets: targets},
		tensor.CrossEntropyBackward{Logits: logits, Stats: stats, Targets: targets},
	} {
		b.Run(o.Name(), func(b *testing.B) { measure(b, be, o) })
	}
}
