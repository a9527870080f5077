package gpu_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// runCases runs those conformance cases whose names begin in one of the ways given.
func runCases(t *testing.T, b tensor.Backend, prefixes ...string) {
	t.Helper()
	oracle := tensor.NewFloat64()
	t.Cleanup(func() { must(t, oracle.Close()) })
	count := 0
	for _, c := range optest.Cases() {
		for _, prefix := range prefixes {
			if !strings.HasPrefix(c.Name, prefix) {
				continue
			}
			count++
			t.Run(c.Name, func(t *testing.T) {
				must(t, c.Check(t.Context(), b, oracle))
			})
		}
	}
	if count == 0 {
		t.Fatalf("no case begins with any of %q", prefixes)
	}
}

// TestAttentionInTurns spreads operations over so many dispatches that each has a
// few workgroups.
func TestAttentionInTurns(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	b.LimitDispatches(1000)
	runCases(t, b, "attention/everything/heads=4:2/dim=8", "attention/segments/heads=6:3/dim=64",
		"pattern/everything/heads=4:2/dim=8", "pattern/long/heads=6:3/dim=64")
	b.Profile(true)
	runCases(t, b, "attention/long/heads=4:2/dim=64")
	for _, timing := range b.Timings() {
		if strings.HasPrefix(timing.Kernel, "attention.") && timing.Calls < 4 {
			t.Errorf("%d calls of %s, want many", timing.Calls, timing.Kernel)
		}
	}
}

// attentionRun is an attention with its gradients on one backend.
type attentionRun struct {
	backend          tensor.Backend
	q, k, v, dz      *tensor.Tensor
	z, stats         *tensor.Tensor
	dq, dk, dv       *tensor.Tensor
	queries, keys    []int
	forward, reverse tensor.Op
}

// newAttentionRun fills the inputs with the same numbers on every backend.
func newAttentionRun(t *testing.T, b tensor.Backend, h tensor.Heads) *attentionRun {
	t.Helper()
	r := &attentionRun{
		backend: b,
		queries: []int{h.Batch * h.Queries, h.Heads * h.Dim}, keys: []int{h.Batch * h.Keys, h.KVHeads * h.Dim},
	}
	seed := uint64(0)
	normal := func(shape []int) *tensor.Tensor {
		seed++
		return normal(t, b, seed, shape...)
	}
	r.q, r.k, r.v, r.dz = normal(r.queries), normal(r.keys), normal(r.keys), normal(r.queries)
	r.z, r.stats = normal(r.queries), normal([]int{h.Batch * h.Queries * h.Heads, 2})
	r.dq, r.dk, r.dv = normal(r.queries), normal(r.keys), normal(r.keys)
	r.forward = tensor.Attention{Z: r.z, Stats: r.stats, Q: r.q, K: r.k, V: r.v, Heads: h}
	r.reverse = tensor.AttentionBackward{
		DQ: r.dq, DK: r.dk, DV: r.dv, DZ: r.dz, Z: r.z, Stats: r.stats,
		Q: r.q, K: r.k, V: r.v, Heads: h,
	}
	return r
}

func floats(t *testing.T, b tensor.Backend, x *tensor.Tensor) []float64 {
	t.Helper()
	values, err := tensor.Floats(t.Context(), b, x)
	must(t, err)
	wide := make([]float64, len(values))
	for i, v := range values {
		wide[i] = float64(v)
	}
	return wide
}

func wantClose(t *testing.T, name string, got, want []float64) {
	t.Helper()
	if e := optest.NMSE(got, want); !(e <= optest.Tolerance) {
		t.Errorf("%s: NMSE %.3g, want at most %g", name, e, optest.Tolerance)
	}
}

// TestAttentionLong has so many rows for each key head that the gradients of keys
// take two dispatches, and so many keys for a query that a software adapter would
// end the loops early if the kernel made more iterations than it says.
func TestAttentionLong(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	oracle := tensor.NewFloat64()
	t.Cleanup(func() { must(t, oracle.Close()) })
	for name, h := range map[string]tensor.Heads{
		"rows": {Batch: 1, Queries: 2800, Keys: 2800, Heads: 8, KVHeads: 1, Dim: 4, Window: 40, Prefix: 2, Scale: 0.5},
		"keys": {Batch: 1, Queries: 2, Keys: 36000, First: 35998, Heads: 2, KVHeads: 1, Dim: 8, Scale: 0.3},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := newAttentionRun(t, b, h), newAttentionRun(t, oracle, h)
			for _, r := range []*attentionRun{got, want} {
				must(t, run(t.Context(), r.backend, r.forward, r.reverse))
			}
			for name, pair := range map[string][2]*tensor.Tensor{
				"Z": {got.z, want.z}, "Stats": {got.stats, want.stats},
				"DQ": {got.dq, want.dq}, "DK": {got.dk, want.dk}, "DV": {got.dv, want.dv},
			} {
				wantClose(t, name, floats(t, b, pair[0]), floats(t, oracle, pair[1]))
			}
		})
	}
}

func TestAttentionTooLong(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	for name, h := range map[string]tensor.Heads{
		"keys":      {Batch: 1, Queries: 1, Keys: 50_000, First: 49_999, Heads: 1, KVHeads: 1, Dim: 4, Scale: 1},
		"head size": {Batch: 1, Queries: 1, Keys: 1, Heads: 1, KVHeads: 1, Dim: 257, Scale: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAttentionRun(t, b, h)
			if err := run(t.Context(), b, r.forward); !errors.Is(err, tensor.ErrUnsupported) {
				t.Errorf("error %v, want %v", err, tensor.ErrUnsupported)
			}
		})
	}
}

// TestAttentionMatchesSteps compares the streaming kernel with scores, softmax and
// mix on the same device, over many tiles.
func TestAttentionMatchesSteps(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	for _, h := range []tensor.Heads{
		{Batch: 2, Queries: 150, Keys: 160, First: 10, Prefix: 5, Heads: 4, KVHeads: 2, Dim: 16, Scale: 0.25},
		{Batch: 1, Queries: 300, Keys: 300, Heads: 3, KVHeads: 3, Dim: 12, Window: 30, Prefix: 20, SoftCap: 4, Scale: 0.5},
		{Batch: 1, Queries: 90, Keys: 200, First: 100, Heads: 2, KVHeads: 1, Dim: 5, Window: 60, Scale: 0.5},
	} {
		t.Run(fmt.Sprintf("%+v", h), func(t *testing.T) {
			r := newAttentionRun(t, b, h)
			square := func() *tensor.Tensor { return newTensor(t, b, tensor.F32, h.Batch*h.Heads*h.Queries, h.Keys) }
			scores, weights, dweights, dscores := square(), square(), square(), square()
			z, dq := newTensor(t, b, tensor.F32, r.queries...), newTensor(t, b, tensor.F32, r.queries...)
			dk, dv := newTensor(t, b, tensor.F32, r.keys...), newTensor(t, b, tensor.F32, r.keys...)
			must(t, run(t.Context(), b, r.forward, r.reverse,
				tensor.AttentionScores{Scores: scores, Q: r.q, K: r.k, Heads: h},
				tensor.Softmax{Out: weights, X: scores},
				tensor.AttentionMix{Z: z, Pattern: weights, V: r.v, Heads: h},
				tensor.AttentionMixBackward{DPattern: dweights, DV: dv, DZ: r.dz, Pattern: weights, V: r.v, Heads: h},
				tensor.SoftmaxBackward{DX: dscores, DOut: dweights, Out: weights},
				tensor.AttentionScoresBackward{DQ: dq, DK: dk, DScores: dscores, Scores: scores, Q: r.q, K: r.k, Heads: h}))
			for name, pair := range map[string][2]*tensor.Tensor{"Z": {r.z, z}, "DQ": {r.dq, dq}, "DK": {r.dk, dk}, "DV": {r.dv, dv}} {
				wantClose(t, name, floats(t, b, pair[0]), floats(t, b, pair[1]))
			}
		})
	}
}

// TestAttentionIgnoresUnusedCache puts NaN where a cache isn't filled yet.
func TestAttentionIgnoresUnusedCache(t *testing.T) {
	b := openBackend(t, gpu.Config{})
	h := tensor.Heads{Batch: 1, Queries: 3, Keys: 70, First: 20, Heads: 2, KVHeads: 1, Dim: 8, Scale: 0.3}
	r := newAttentionRun(t, b, h)
	must(t, run(t.Context(), b, r.forward))
	want := floats(t, b, r.z)
	for _, x := range []*tensor.Tensor{r.k, r.v} {
		values, err := tensor.Floats(t.Context(), b, x)
		must(t, err)
		for i := (h.First + h.Queries) * h.Dim; i < len(values); i++ {
			values[i] = float32(math.NaN())
		}
		must(t, tensor.WriteFloats(t.Context(), b, x, values))
	}
	must(t, run(t.Context(), b, r.forward))
	wantClose(t, "Z", floats(t, b, r.z), want)
}
