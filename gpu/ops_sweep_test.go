//go:build unix

package gpu

import (
	"fmt"
	"os"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// TestSweepNarrow times the geometries of LoRA's products, and how far to split them.
func TestSweepNarrow(t *testing.T) {
	if os.Getenv("GPUPEFT_SWEEP") == "" {
		t.Skip("GPUPEFT_SWEEP is not set")
	}
	b := openTuned(t, Config{Tiles: TilesShared}, func(*tuning) {})
	const n, r = 2048, 8
	half := sharing{depth: 16, unroll: 8, ahead: true, fused: true}
	short := sharing{depth: 8, unroll: 8, fused: true}
	tall := []geometry{
		{rows: 4, cols: 4, lanesM: 16, lanesN: 2},
		{rows: 4, cols: 4, lanesM: 32, lanesN: 2},
		{rows: 4, cols: 8, lanesM: 32, lanesN: 1},
		{rows: 8, cols: 4, lanesM: 16, lanesN: 2},
		{rows: 4, cols: 4, lanesM: 16, lanesN: 4},
	}
	wide := []geometry{
		{rows: 4, cols: 4, lanesM: 2, lanesN: 16},
		{rows: 4, cols: 4, lanesM: 2, lanesN: 32},
		{rows: 8, cols: 4, lanesM: 1, lanesN: 32},
		{rows: 4, cols: 4, lanesM: 4, lanesN: 16},
	}
	thin := []geometry{
		{rows: 4, cols: 4, lanesM: 16, lanesN: 16},
		{rows: 4, cols: 8, lanesM: 16, lanesN: 8},
		{rows: 8, cols: 8, lanesM: 8, lanesN: 8},
		{rows: 4, cols: 4, lanesM: 8, lanesN: 32},
	}
	for _, c := range []struct {
		name    string
		kind    int
		s       [3]int
		shapes  []geometry
		sharing []sharing
		fills   []int
	}{
		{"A", 0, [3]int{n, n, r}, tall, []sharing{plain, deep, half}, []int{8192, 32768, 131072}},
		{"du", 1, [3]int{n, r, n}, tall, []sharing{plain, deep, half}, []int{8192, 32768, 131072}},
		{"dB", 2, [3]int{n, r, n}, tall, []sharing{plain, deep, half}, []int{8192, 32768, 131072}},
		{"dA", 2, [3]int{n, n, r}, wide, []sharing{plain, deep, half}, []int{8192, 32768, 131072}},
		{"B", 0, [3]int{n, r, n}, thin, []sharing{plain, short}, []int{0}},
	} {
		o, _, done := sweepOp(t, b, c.kind, tensor.F32, c.s, false)
		var list []geometry
		for _, g := range c.shapes {
			for _, how := range c.sharing {
				g.sharing = how
				list = append(list, g)
			}
		}
		for _, g := range shard(t, list) {
			if !g.fits(b.limits) {
				continue
			}
			for _, fill := range c.fills {
				b.tune.shared, b.tune.fill = []choice{{geometry: g}}, fill
				rate, _ := sweepRate(t, b, o)
				fmt.Printf("NARROW %s %.1f µs fill %d %v\n", c.name, o.Flops()/rate/1e3, fill, g)
			}
		}
		done()
	}
}

// TestSweepAttention times attention with and without workgroup memory.
func TestSweepAttention(t *testing.T) {
	if os.Getenv("GPUPEFT_SWEEP") == "" {
		t.Skip("GPUPEFT_SWEEP is not set")
	}
	b := openTuned(t, Config{Tiles: TilesShared}, func(*tuning) {})
	for _, h := range []tensor.Heads{
		{Batch: 4, Queries: 512, Keys: 512, Heads: 32, KVHeads: 8, Dim: 64, Scale: 0.1},
		{Batch: 1, Queries: 2048, Keys: 2048, Heads: 32, KVHeads: 8, Dim: 128, Scale: 0.1},
	} {
		get := func(rows, cols int) *tensor.Tensor {
			x, err := b.New("x", tensor.F32, rows, cols)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = x.Close() })
			return x
		}
		n, q, kv := h.Batch*h.Queries, h.Heads*h.Dim, h.KVHeads*h.Dim
		forward := tensor.Attention{Heads: h, Z: get(n, q), Stats: get(n*h.Heads, 2), Q: get(n, q), K: get(n, kv), V: get(n, kv)}
		backward := tensor.AttentionBackward{
			Heads: h, DQ: get(n, q), DK: get(n, kv), DV: get(n, kv), DZ: get(n, q),
			Z: forward.Z, Stats: forward.Stats, Q: forward.Q, K: forward.K, V: forward.V,
		}
		for _, threads := range shard(t, []uint32{64, 128, 256}) {
			for _, staged := range []bool{false, true} {
				b.tune.rowThreads, b.tune.staged = threads, staged
				f, _ := sweepRate(t, b, forward)
				g, _ := sweepRate(t, b, backward)
				fmt.Printf("ATTENTION %d heads of %d, %d×%d tokens: forward %.0f, backward %.0f GFLOP/s, %d lanes, staged %v\n",
					h.Heads, h.Dim, h.Batch, h.Queries, f, g, threads, staged)
			}
		}
	}
}
