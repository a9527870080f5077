package tensor

import "math"

func (k *task[T]) attention(o Attention) {
	h, z, stats := o.Heads, k.floats(o.Z), k.floats(o.Stats)
	q, keys, v, segment := k.floats(o.Q), k.floats(o.K), k.floats(o.V), k.segments(o.Segment)
	k.eachQuery(h, 4*h.Dim*h.Keys, func(b, head, i int, seen []int, row []T) {
		kv, dst, stat := h.kvHead(head), atQuery(h, z, b, head, i), atStats(h, stats, b, head, i)
		clear(dst)
		stat[0], stat[1] = T(math.Inf(-1)), 0
		seen = h.visible(b, i, segment, seen)
		if len(seen) == 0 {
			return
		}
		p := row[:len(seen)]
		k.scores(h, atQuery(h, q, b, head, i), keys, b, kv, seen, p)
		top := maximum(p)
		sum := k.expSum(p, p, top)
		stat[0] = top + T(math.Log(float64(sum)))
		for n, j := range seen {
			k.axpy(p[n]/sum, atKey(h, v, b, kv, j), dst)
		}
	})
}

func (k *task[T]) attentionBackward(o AttentionBackward) {
	h, dq, dk, dv := o.Heads, k.floats(o.DQ), k.floats(o.DK), k.floats(o.DV)
	q, keys, v, segment := k.floats(o.Q), k.floats(o.K), k.floats(o.V), k.segments(o.Segment)
	z, dz, stats := k.floats(o.Z), k.floats(o.DZ), k.floats(o.Stats)
	start := func(b, kv int) {
		clearKeys(h, dk, b, kv)
		clearKeys(h, dv, b, kv)
	}
	k.eachKeyHead(h, start, func(b, head, i int, seen []int, row []T) {
		kv, stat := h.kvHead(head), atStats(h, stats, b, head, i)
		q, dq, dz := atQuery(h, q, b, head, i), atQuery(h, dq, b, head, i), atQuery(h, dz, b, head, i)
		clear(dq)
		stat[1] = k.dot(dz, atQuery(h, z, b, head, i))
		seen = h.visible(b, i, segment, seen)
		s := row[:len(seen)]
		k.scores(h, q, keys, b, kv, seen, s)
		for n, j := range seen {
			p := exp(s[n] - stat[0])
			k.axpy(p, dz, atKey(h, dv, b, kv, j))
			g := p * (k.dot(dz, atKey(h, v, b, kv, j)) - stat[1]) * capSlope(s[n], T(h.SoftCap)) * T(h.Scale)
			k.axpy(g, atKey(h, keys, b, kv, j), dq)
			k.axpy(g, q, atKey(h, dk, b, kv, j))
		}
	})
}

// segments returns the values of the optional operand.
func (k *task[T]) segments(t *Tensor) []int32 {
	if t == nil {
		return nil
	}
	return k.ints(t)
}

// scores fills row with the scores of query q for the keys seen.
func (k *task[T]) scores(h Heads, q, keys []T, b, kvHead int, seen []int, row []T) {
	scale, limit := T(h.Scale), T(h.SoftCap)
	for n, j := range seen {
		row[n] = capped(scale*k.dot(q, atKey(h, keys, b, kvHead, j)), limit)
	}
}
