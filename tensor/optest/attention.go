package optest

import (
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// mask is one way to hide keys, or to change scores.
type mask struct {
	name     string
	heads    tensor.Heads // all but heads, dimension and scale
	segments bool
}

// masks covers training, batches, generation with a cache, and prefixes.
var masks = []mask{
	{"single", tensor.Heads{Batch: 1, Queries: 1, Keys: 1}, false},
	{"causal", tensor.Heads{Batch: 1, Queries: 17, Keys: 17}, false},
	{"batch", tensor.Heads{Batch: 3, Queries: 5, Keys: 5}, false},
	{"window", tensor.Heads{Batch: 2, Queries: 33, Keys: 33, Window: 7}, false},
	{"softcap", tensor.Heads{Batch: 1, Queries: 16, Keys: 16, SoftCap: 2}, false},
	{"prefix", tensor.Heads{Batch: 2, Queries: 9, Keys: 12, First: 3, Prefix: 3}, false},
	{"cross", tensor.Heads{Batch: 2, Queries: 37, Keys: 5, Prefix: 5, SoftCap: 4}, false},
	{"segments", tensor.Heads{Batch: 3, Queries: 20, Keys: 20}, true},
	{"cache", tensor.Heads{Batch: 2, Queries: 4, Keys: 40, First: 29}, false},
	{"decode", tensor.Heads{Batch: 3, Queries: 1, Keys: 64, First: 41}, false},
	{"decode-window", tensor.Heads{Batch: 1, Queries: 1, Keys: 130, First: 129, Window: 65}, false},
	{"everything", tensor.Heads{Batch: 2, Queries: 13, Keys: 30, First: 11, Prefix: 4, Window: 6, SoftCap: 3}, true},
	{"long", tensor.Heads{Batch: 1, Queries: 65, Keys: 65}, false},
	{"blocks", tensor.Heads{Batch: 1, Queries: 150, Keys: 160, First: 10, Window: 70}, false},
}

// grouping is a number of query heads and of key heads.
type grouping struct{ heads, kvHeads int }

var groupings = []grouping{{1, 1}, {4, 4}, {4, 2}, {8, 1}, {6, 3}}

var headDims = []int{1, 2, 7, 8, 16, 20, 33, 64, 80, 96, 128, 256}

// geometries calls f for every head size with every grouping under two masks in
// turn, and every mask and grouping with the two most common head sizes.
func geometries(f func(name string, h tensor.Heads, segments bool)) {
	emit := func(dim int, g grouping, m mask) {
		h := m.heads
		h.Heads, h.KVHeads, h.Dim = g.heads, g.kvHeads, dim
		h.Scale = float32(1 / math.Sqrt(float64(dim)))
		f(fmt.Sprintf("%s/heads=%d:%d/dim=%d", m.name, g.heads, g.kvHeads, dim), h, m.segments)
	}
	turn := 0
	for _, dim := range headDims {
		for _, g := range groupings {
			common := dim == 8 || dim == 64
			for at, m := range masks {
				if common || at == turn%len(masks) || at == (turn+5)%len(masks) {
					emit(dim, g, m)
				}
			}
			turn++
		}
	}
	emit(2, grouping{8, 1}, mask{"many", tensor.Heads{Batch: 8200, Queries: 1, Keys: 2, First: 1}, false})
}

// segments numbers the documents of each sequence: padding in front, then
// documents of three keys, then padding.
func segments(in *inputs, h tensor.Heads, want bool) *tensor.Tensor {
	if !want {
		return nil
	}
	return in.ints(h.Batch*h.Keys, func(i int) int {
		b, j := i/h.Keys, i%h.Keys
		if j < b || j >= h.Keys-2*b {
			return -1
		}
		return j / 3
	})
}

func (g *grid) attention() {
	geometries(func(name string, h tensor.Heads, segmented bool) {
		g.scores(func(in *inputs) []tensor.Op {
			queries := []int{h.Batch * h.Queries, h.Heads * h.Dim}
			keys := []int{h.Batch * h.Keys, h.KVHeads * h.Dim}
			segment := segments(in, h, segmented)
			q, k, v := in.normal(queries...), in.normal(keys...), in.normal(keys...)
			z, stats := in.normal(queries...), in.normal(h.Batch*h.Queries*h.Heads, 2)
			return []tensor.Op{
				tensor.Attention{Z: z, Stats: stats, Q: q, K: k, V: v, Segment: segment, Heads: h},
				tensor.AttentionBackward{
					DQ: in.normal(queries...), DK: in.normal(keys...), DV: in.normal(keys...),
					DZ: in.normal(queries...), Z: z, Stats: stats, Q: q, K: k, V: v, Segment: segment, Heads: h,
				},
			}
		}, "attention/%s", name)
	})
}

func (g *grid) pattern() {
	geometries(func(name string, h tensor.Heads, segmented bool) {
		if h.Heads == 8 || h.Heads == 1 { // the steps have little of their own to get wrong
			return
		}
		g.scores(func(in *inputs) []tensor.Op {
			queries := []int{h.Batch * h.Queries, h.Heads * h.Dim}
			keys := []int{h.Batch * h.Keys, h.KVHeads * h.Dim}
			square := []int{h.Batch * h.Heads * h.Queries, h.Keys}
			q, k, v := in.normal(queries...), in.normal(keys...), in.normal(keys...)
			scores, pattern := in.normal(square...), in.normal(square...)
			return []tensor.Op{
				tensor.AttentionScores{Scores: scores, Q: q, K: k, Segment: segments(in, h, segmented), Heads: h},
				tensor.AttentionMix{Z: in.normal(queries...), Pattern: pattern, V: v, Heads: h},
				tensor.AttentionMixBackward{
					DPattern: in.normal(square...), DV: in.normal(keys...),
					DZ: in.normal(queries...), Pattern: pattern, V: v, Heads: h,
				},
				tensor.AttentionScoresBackward{
					DQ: in.normal(queries...), DK: in.normal(keys...),
					DScores: in.normal(square...), Scores: scores, Q: q, K: k, Heads: h,
				},
			}
		}, "pattern/%s", name)
	})
}

func (g *grid) features() {
	geometries(func(name string, h tensor.Heads, segmented bool) {
		if h.Heads == 8 { // as pattern
			return
		}
		g.scores(func(in *inputs) []tensor.Op {
			queries := []int{h.Batch * h.Queries, h.Heads * h.Dim}
			keys := []int{h.Batch * h.Keys, h.KVHeads * h.Dim}
			segment := segments(in, h, segmented)
			q, k, stats := in.normal(queries...), in.normal(keys...), in.normal(h.Batch*h.Queries*h.Heads, 2)
			return []tensor.Op{
				tensor.Attention{Z: in.normal(queries...), Stats: stats, Q: q, K: k, V: in.normal(keys...), Segment: segment, Heads: h},
				tensor.AttentionFeatures{
					Out: in.normal(h.Batch*h.Queries*h.Heads, tensor.NumFeatures), Q: q, K: k, Stats: stats,
					IDs: in.below(h.Batch*h.Keys, 0, 5), Segment: segment, Heads: h, Sink: h.First, Period: 1 + h.Dim%5, Lead: h.Prefix,
				},
			}
		}, "features/%s", name)
	})
}
