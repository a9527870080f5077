package tensor

func (k *task[T]) attentionFeatures(o AttentionFeatures) {
	h, out, q, keys := o.Heads, k.floats(o.Out), k.floats(o.Q), k.floats(o.K)
	stats, ids, segment := k.floats(o.Stats), k.ints(o.IDs), k.segments(o.Segment)
	k.eachQuery(h, 2*h.Dim*h.Keys, func(b, head, i int, seen []int) {
		f := out[((b*h.Queries+i)*h.Heads+head)*NumFeatures:][:NumFeatures]
		clear(f)
		q, lse, ids := atQuery(h, q, b, head, i), atStats(h, stats, b, head, i)[0], ids[b*h.Keys:][:h.Keys]
		at := min(h.First+i, h.Keys-1)
		for _, j := range h.visible(b, i, segment, seen) {
			s := capped(T(h.Scale)*k.dot(q, atKey(h, keys, b, h.kvHead(head), j)), T(h.SoftCap))
			p := exp(s - lse)
			f[FeatureEntropy] += p * (lse - s)
			f[FeatureDistance] += p * T(at-j)
			for n, hit := range o.hits(ids, at, j) {
				if hit {
					f[n] += p
				}
			}
		}
	})
}

// hits says which features a key at j adds its weight to, for a query at key a.
func (o AttentionFeatures) hits(ids []int32, a, j int) [NumFeatures]bool {
	return [NumFeatures]bool{
		FeatureSink:      j == o.Sink,
		FeatureSelf:      j == a,
		FeaturePrevious:  j == a-1,
		FeatureDuplicate: j == a-o.Period,
		FeatureInduction: j == a-o.Period+1,
		FeatureSame:      j < a && ids[j] == ids[a],
		FeatureAfterSame: j > 0 && j <= a && ids[j-1] == ids[a],
		FeatureLead:      j < o.Lead,
	}
}
