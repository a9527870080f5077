package gpu

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// patternConsts are the constants of shaders/pattern.wgsl.
type patternConsts struct {
	Elem    alias
	Threads uint32
	Scores  bool
}

// patternParams are Params of shaders/pattern.wgsl.
type patternParams struct {
	Batch, Queries, Keys, First, Prefix, Window uint32
	Heads, KVHeads, Cols, Segmented             uint32
	Start, End                                  uint32
	Scale, SoftCap                              float32
	Infinity                                    float32
}

// patternTile is the number of queries and of keys of a workgroup of pairs.
const patternTile = 32

// A pattern is one operation on whole matrices of scores (as opposed to weights).
type pattern struct {
	tensor.Heads
	scores    bool
	segmented bool
}

func (x pattern) program(entry string) file {
	kind, _ := elem(x.Dim)
	return file{names: withElem(x.Dim, "pattern"), entry: entry, consts: patternConsts{kind, elementwiseThreads, x.scores}}
}

func (x pattern) params(start, end uint32) any {
	return patternParams{
		Batch: uint32(x.Batch), Queries: uint32(x.Queries), Keys: uint32(x.Keys), First: uint32(x.First),
		Prefix: uint32(x.Prefix), Window: window(x.Heads), Heads: uint32(x.Heads.Heads), KVHeads: uint32(x.KVHeads),
		Cols: uint32(elems(x.Dim)), Segmented: flag(x.segmented),
		Start: start, End: end, Scale: x.Scale, SoftCap: x.SoftCap, Infinity: float32(math.Inf(1)),
	}
}

// flops is the work of one product over all queries and keys, masked ones too.
func (x pattern) flops() float64 {
	return 2 * float64(x.Batch*x.Heads.Heads*x.Queries) * float64(x.Keys*x.Dim)
}

// pairs records out[i,j] = a[i]·b[j], as scores or as they are.
func (r *recorder) pairs(x pattern, out, a, b, segment *tensor.Tensor) error {
	return r.inTurns(task{
		program:  x.program("pairs"),
		operands: []operand{whole(out), whole(a), whole(b), segmentOr(segment, a)},
		cost:     x.flops(),
		steps:    elems(x.Dim),
	}, x.Batch*x.Heads.Heads*ceilDiv(x.Queries, patternTile)*ceilDiv(x.Keys, patternTile), x.params)
}

// byQuery records out[i] = Σ_j w[i,j]·b[j].
func (r *recorder) byQuery(x pattern, out, weights, scores, b *tensor.Tensor) error {
	lanes := x.Batch * ceilDiv(x.Queries, 4) * x.Heads.Heads * elems(x.Dim)
	return r.inTurns(task{
		program:  x.program("by_query"),
		operands: []operand{whole(out), whole(weights), whole(scores), whole(b)},
		cost:     x.flops(),
		steps:    x.Keys,
	}, ceilDiv(lanes, elementwiseThreads), x.params)
}

// byKey records out[j] = Σ_i w[i,j]·a[i].
func (r *recorder) byKey(x pattern, out, weights, scores, a *tensor.Tensor) error {
	lanes := x.Batch * ceilDiv(x.Keys, 4) * x.KVHeads * elems(x.Dim)
	return r.inTurns(task{
		program:  x.program("by_key"),
		operands: []operand{whole(out), whole(weights), whole(scores), whole(a)},
		cost:     x.flops(),
		steps:    x.Queries * x.Heads.Heads / x.KVHeads,
	}, ceilDiv(lanes, elementwiseThreads), x.params)
}

func (r *recorder) attentionScores(o tensor.AttentionScores) error {
	x := pattern{Heads: o.Heads, scores: true, segmented: o.Segment != nil}
	return r.pairs(x, o.Scores, o.Q, o.K, o.Segment)
}

func (r *recorder) attentionScoresBackward(o tensor.AttentionScoresBackward) error {
	x := pattern{Heads: o.Heads, scores: true}
	if err := r.byQuery(x, o.DQ, o.DScores, o.Scores, o.K); err != nil {
		return err
	}
	return r.byKey(x, o.DK, o.DScores, o.Scores, o.Q)
}

func (r *recorder) attentionMix(o tensor.AttentionMix) error {
	return r.byQuery(pattern{Heads: o.Heads}, o.Z, o.Pattern, o.Pattern, o.V)
}

func (r *recorder) attentionMixBackward(o tensor.AttentionMixBackward) error {
	x := pattern{Heads: o.Heads}
	if err := r.pairs(x, o.DPattern, o.DZ, o.V, nil); err != nil {
		return err
	}
	return r.byKey(x, o.DV, o.Pattern, o.Pattern, o.DZ)
}
