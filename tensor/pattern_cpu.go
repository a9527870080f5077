package tensor

import "math"

func (k *task[T]) attentionScores(o AttentionScores) {
	h, scores, q, keys := o.Heads, k.floats(o.Scores), k.floats(o.Q), k.floats(o.K)
	segment := k.segments(o.Segment)
	k.eachQuery(h, 2*h.Dim*h.Keys, func(b, head, i int, seen []int) {
		dst := atScore(h, scores, b, head, i)
		for j := range dst {
			dst[j] = T(math.Inf(-1))
		}
		q := atQuery(h, q, b, head, i)
		for _, j := range h.visible(b, i, segment, seen) {
			dst[j] = capped(T(h.Scale)*k.dot(q, atKey(h, keys, b, h.kvHead(head), j)), T(h.SoftCap))
		}
	})
}

func (k *task[T]) attentionScoresBackward(o AttentionScoresBackward) {
	h, dq, dk := o.Heads, k.floats(o.DQ), k.floats(o.DK)
	q, keys, scores, dscores := k.floats(o.Q), k.floats(o.K), k.floats(o.Scores), k.floats(o.DScores)
	masked := T(math.Inf(-1))
	start := func(b, kv int) { clearKeys(h, dk, b, kv) }
	k.eachKeyHead(h, start, func(b, head int) {
		for i := 0; i < h.Queries && !k.cancelled(); i++ {
			kv, q, dq := h.kvHead(head), atQuery(h, q, b, head, i), atQuery(h, dq, b, head, i)
			ds := atScore(h, dscores, b, head, i)
			clear(dq)
			for j, s := range atScore(h, scores, b, head, i) {
				if s == masked {
					continue
				}
				g := ds[j] * capSlope(s, T(h.SoftCap)) * T(h.Scale)
				k.axpy(g, atKey(h, keys, b, kv, j), dq)
				k.axpy(g, q, atKey(h, dk, b, kv, j))
			}
		}
	})
}

func (k *task[T]) attentionMix(o AttentionMix) {
	h, z, pattern, v := o.Heads, k.floats(o.Z), k.floats(o.Pattern), k.floats(o.V)
	k.eachQuery(h, 2*h.Dim*h.Keys, func(b, head, i int, _ []int) {
		dst := atQuery(h, z, b, head, i)
		clear(dst)
		for j, p := range atScore(h, pattern, b, head, i) {
			k.axpy(p, atKey(h, v, b, h.kvHead(head), j), dst)
		}
	})
}

func (k *task[T]) attentionMixBackward(o AttentionMixBackward) {
	h, dpattern, dv := o.Heads, k.floats(o.DPattern), k.floats(o.DV)
	dz, pattern, v := k.floats(o.DZ), k.floats(o.Pattern), k.floats(o.V)
	start := func(b, kv int) { clearKeys(h, dv, b, kv) }
	k.eachKeyHead(h, start, func(b, head int) {
		for i := 0; i < h.Queries && !k.cancelled(); i++ {
			kv, dz, dp := h.kvHead(head), atQuery(h, dz, b, head, i), atScore(h, dpattern, b, head, i)
			for j, p := range atScore(h, pattern, b, head, i) {
				dp[j] = k.dot(dz, atKey(h, v, b, kv, j))
				k.axpy(p, dz, atKey(h, dv, b, kv, j))
			}
		}
	})
}
