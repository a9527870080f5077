package gpu_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
)

// TestRowsInParts runs operations on rows where a binding holds only some of them,
// and a grid has to be folded.
func TestRowsInParts(t *testing.T) {
	l := gpu.DefaultLimits()
	l.BindingSize = 48 << 10
	l.WorkgroupsPerDim = 60
	b := openBackend(t, gpu.Config{Limits: &l})
	runCases(t, b, "rmsnorm/257x64", "softmax/257x64", "rope/65x3x64")

	oracle := tensor.NewFloat64()
	t.Cleanup(func() { must(t, oracle.Close()) })
	for name, do := range map[string]func(*testing.T, tensor.Backend) [][]float64{"gated": gatedRows, "crossentropy": lossRows} {
		t.Run(name, func(t *testing.T) {
			got, want := do(t, b), do(t, oracle)
			for i := range want {
				wantClose(t, name, got[i], want[i])
			}
		})
	}
}

func normal(t *testing.T, b tensor.Backend, seed uint64, shape ...int) *tensor.Tensor {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	x := newTensor(t, b, tensor.F32, shape...)
	values := make([]float32, x.Len())
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	must(t, tensor.WriteFloats(t.Context(), b, x, values))
	return x
}

func gatedRows(t *testing.T, b tensor.Backend) [][]float64 {
	shape := []int{209, 64}
	out, dgate, dup := normal(t, b, 1, shape...), normal(t, b, 2, shape...), normal(t, b, 3, shape...)
	gate, up, dout := normal(t, b, 4, shape...), normal(t, b, 5, shape...), normal(t, b, 6, shape...)
	must(t, run(t.Context(), b,
		tensor.Gated{Out: out, Gate: gate, Up: up},
		tensor.GatedBackward{DGate: dgate, DUp: dup, DOut: dout, Gate: gate, Up: up}))
	return [][]float64{floats(t, b, out), floats(t, b, dgate), floats(t, b, dup)}
}

func lossRows(t *testing.T, b tensor.Backend) [][]float64 {
	const rows, cols = 213, 60
	targets := newTensor(t, b, tensor.I32, rows)
	ids := make([]int32, rows)
	for i := range ids {
		ids[i] = int32(i*7%(cols+1)) - 1
	}
	must(t, tensor.WriteInts(t.Context(), b, targets, ids))
	logits, stats := normal(t, b, 1, rows, cols), normal(t, b, 2, rows, tensor.StatsWidth)
	must(t, run(t.Context(), b,
		tensor.CrossEntropy{Stats: stats, Logits: logits, Targets: targets},
		tensor.CrossEntropyBackward{Logits: logits, Stats: stats, Targets: targets}))
	return [][]float64{floats(t, b, stats), floats(t, b, logits)}
}
