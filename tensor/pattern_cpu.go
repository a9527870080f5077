package tensor

import "math"

func (k *task[T]) attentionScores(o AttentionScores) {
	h, scores, q, keys := o.Heads, k.floats(o.Scores), k.floats(o.Q), k.floats(o.K)
	segment := k.segments(o.Segment)
	k.eachTile(h, func(t tile, block []T, seen []run) {
		block = k.scoreTile(t, q, keys, block)
		for r := range t.rows {
			dst := atScore(h, scores, t.b, t.head, t.query+r)
			for j := range dst {
				dst[j] = T(math.Inf(-1))
			}
			for _, s := range h.runs(t.b, t.query+r, segment, seen[:0]) {
				copy(dst[s.from:s.to], block[r*t.cols+s.from-t.key:])
			}
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
	k.eachTile(h, func(t tile, _ []T, _ []run) {
		t.key, t.cols = 0, h.Keys // an edit may have given keys weight that aren't seen
		k.multiply(alone, multiplication[T]{out: queriesOf(t, z), a: weightsOf(t, pattern), b: keysOf(t, v), scale: 1})
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
