package gpu

import (
	"math/bits"

	"github.com/gpupeft/gpupeft/tensor"
)

// featuresParams are Params of shaders/features.wgsl.
type featuresParams struct {
	Queries, Keys, First, Prefix, Window uint32
	Heads, KVHeads, Cols, Segmented      uint32
	Start, End                           uint32
	Sink, Period, Lead                   uint32
	Scale, SoftCap                       float32
}

func (r *recorder) attentionFeatures(o tensor.AttentionFeatures) error {
	h, threads := o.Heads, r.tune.rowThreads
	return r.inTurns(task{
		program:  r.rowFile("features", "forward", h.Dim),
		operands: []operand{whole(o.Out), whole(o.Q), whole(o.K), whole(o.Stats), whole(o.IDs), segmentOr(o.Segment, o.IDs)},
		cost:     o.Flops(),
		steps:    ceilDiv(h.Keys, int(threads))*(elems(h.Dim)+1) + tensor.NumFeatures*bits.Len32(threads),
	}, h.Batch*h.Queries*h.Heads, func(start, end uint32) any {
		return featuresParams{
			Queries: uint32(h.Queries), Keys: uint32(h.Keys), First: uint32(h.First), Prefix: uint32(h.Prefix),
			Window: window(h), Heads: uint32(h.Heads), KVHeads: uint32(h.KVHeads), Cols: uint32(elems(h.Dim)),
			Segmented: flag(o.Segment != nil), Start: start, End: end, Sink: uint32(o.Sink), Period: uint32(o.Period),
			Lead: uint32(o.Lead), Scale: h.Scale, SoftCap: h.SoftCap,
		}
	})
}
