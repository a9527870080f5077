package gpu

import "github.com/gpupeft/gpupeft/tensor"

// The shares of the work of AttentionBackward, in products of queries and keys: s,
// dw, dq, and s, dw, dv, dk.
const queryShare, keyShare = 3.0 / 7, 4.0 / 7

func (r *recorder) attentionBackward(o tensor.AttentionBackward) error {
	s, err := r.streaming(o.Heads, o.Segment)
	if err != nil {
		return err
	}
	if err := r.attentionD(s, o); err != nil {
		return err
	}
	err = r.overRows(s, task{
		program: s.program("attention_dq", "backward"),
		operands: []operand{
			whole(o.DQ), whole(o.Stats), whole(o.Q), whole(o.K), whole(o.V), whole(o.DZ),
			segmentOr(o.Segment, o.Q),
		},
		cost: queryShare * o.Flops(),
	}, s.tileSteps(2, 1))
	if err != nil {
		return err
	}
	return r.attentionDKV(s, o)
}

// attentionDParams are Params of shaders/attention_d.wgsl.
type attentionDParams struct{ N, Cols uint32 }

// attentionD records the second column of Stats.
func (r *recorder) attentionD(s streaming, o tensor.AttentionBackward) error {
	n := o.Stats.Len() / 2
	kind, _ := elem(s.Dim)
	return r.add(task{
		program: file{
			names: withElem(s.Dim, "attention_d"), entry: "backward",
			consts: elemConsts{kind, elementwiseThreads},
		},
		operands: []operand{whole(o.Stats), whole(o.DZ), whole(o.Z)},
		params:   attentionDParams{uint32(n), uint32(s.cols)},
		groups:   r.fold(ceilDiv(n, elementwiseThreads)),
		cost:     2 * float64(o.Z.Len()),
		steps:    s.cols,
	})
}

// attentionDKV records the gradients of keys and values, in ranges of rows that are
// few enough for the loops of a dispatch.
func (r *recorder) attentionDKV(s streaming, o tensor.AttentionBackward) error {
	rows, blocks, tileSteps := s.rows(), s.blocks(s.Keys), s.tileSteps(2, 2)
	most := MaxLoopSteps / tileSteps * s.tile()
	for from := 0; from < rows; from += most {
		to := min(from+most, rows)
		l := task{
			program: s.program("attention_dkv", "backward"),
			operands: []operand{
				whole(o.DK), whole(o.DV), whole(o.Stats), whole(o.Q), whole(o.K), whole(o.V),
				segmentOr(o.Segment, o.Q), whole(o.DZ),
			},
			cost:  workOf(keyShare*o.Flops(), from, to, rows),
			steps: ceilDiv(to-from, s.tile()) * tileSteps,
		}
		err := r.inTurns(l, s.Batch*s.KVHeads*blocks, func(start, end uint32) any {
			p := s.params(blocks, start, end)
			p.FromRow, p.ToRow, p.Accumulate = uint32(from), uint32(to), flag(from > 0)
			return p
		})
		if err != nil {
			return err
		}
	}
	return nil
}
