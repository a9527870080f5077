package gpu

import "github.com/gpupeft/gpupeft/tensor"

// normParams are Params of shaders/norm.wgsl.
type normParams struct {
	N     uint32 // values of this dispatch
	Share uint32 // values of one part
	Skip  uint32 // values of x before the first part of this dispatch
	First uint32 // the dispatch's first part
	Parts uint32 // of this dispatch
}

type normConsts struct{ Threads uint32 }

func (r *recorder) sumSquares(o tensor.SumSquares) error {
	n, all := o.X.Len(), o.Out.Len()
	share := ceilDiv(n, all)
	// A part begins anywhere, a binding at a multiple of OffsetAlignment: it begins earlier.
	per := max(1, (int(r.bindingSize())-OffsetAlignment)/4/share)
	for first := 0; first < all; first += per {
		parts := min(per, all-first)
		lo := min(first*share, n-1)
		hi := min(max((first+parts)*share, lo+1), n)
		begin := lo / (OffsetAlignment / 4) * (OffsetAlignment / 4)
		err := r.add(task{
			program:  file{names: "reduce+norm", entry: "sum_squares", consts: normConsts{r.tune.rowThreads}},
			operands: []operand{whole(o.Out), part(o.X, begin, hi-begin)},
			params: normParams{
				N: uint32(max(0, min(n, (first+parts)*share)-first*share)), Share: uint32(share),
				Skip: uint32(lo - begin), First: uint32(first), Parts: uint32(parts),
			},
			groups: r.fold(parts),
			cost:   2 * float64(hi-lo),
			steps:  ceilDiv(share, int(r.tune.rowThreads)) + reduceSteps,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reduceSteps bounds the loop iterations of one reduction of shaders/reduce.wgsl.
const reduceSteps = 10

// clipParams are Params of shaders/clip.wgsl.
type clipParams struct {
	N   uint32
	Max float32
}

func (r *recorder) clipNorm(o tensor.ClipNorm) error {
	n := o.Sums.Len()
	return r.add(task{
		program:  file{names: "reduce+clip", entry: "forward", consts: normConsts{r.tune.rowThreads}},
		operands: []operand{whole(o.Clip), whole(o.Sums)},
		params:   clipParams{uint32(n), o.Max},
		groups:   [3]uint32{1, 1, 1},
		cost:     o.Flops(),
		steps:    ceilDiv(n, int(r.tune.rowThreads)) + reduceSteps,
	})
}
