package tensor

// attentionFeatures takes a block of queries at a time, so that their scores are a product of matrices. The weights of
// keys that a query doesn't see stay 0.
func (k *task[T]) attentionFeatures(o AttentionFeatures) {
	h, out, q, keys := o.Heads, k.floats(o.Out), k.floats(o.Q), k.floats(o.K)
	stats, segment := k.floats(o.Stats), k.segments(o.Segment)
	same := lastSame(k.ints(o.IDs), h.Keys)
	ones, distances := make([]T, h.Keys), make([]T, 2*h.Keys) // distances are those to the last key, and beyond
	for j := range ones {
		ones[j] = 1
	}
	for j := range distances {
		distances[j] = T(h.Keys - 1 - j)
	}
	k.eachTile(h, func(t tile, scores []T, seen []run) {
		scores = k.scoreTile(t, q, keys, scores)
		weights := make([]T, h.Keys)
		for r := range t.rows {
			i := t.query + r
			at := min(h.First+i, h.Keys-1)
			f := out[((t.b*h.Queries+i)*h.Heads+t.head)*NumFeatures:][:NumFeatures]
			clear(f)
			clear(weights)
			lse := atStats(h, stats, t.b, t.head, i)[0]
			seen = h.runs(t.b, i, segment, seen[:0])
			for _, run := range seen {
				p, logs := weights[run.from:run.to], scores[r*t.cols:][run.from-t.key:run.to-t.key]
				k.axpy(-lse, ones[:len(logs)], logs)
				k.expSum(p, logs, 0)
				f[FeatureEntropy] -= k.dot(p, logs)
				f[FeatureDistance] += k.dot(p, distances[h.Keys-1-at+run.from:][:len(p)])
			}
			single(o, f, weights, at, same[t.b*h.Keys:][:h.Keys])
		}
	})
}

// lastSame says for each key which is the last one before it of the same token, or −1.
func lastSame(ids []int32, keys int) []int {
	all := make([]int, 0, len(ids))
	for ; len(ids) > 0; ids = ids[keys:] {
		last := map[int32]int{}
		for j, id := range ids[:keys] {
			if at, ok := last[id]; ok {
				all = append(all, at)
			} else {
				all = append(all, -1)
			}
			last[id] = j
		}
	}
	return all
}

// single adds up the features that are weights of single keys, given all weights of a query at key a.
func single[T real](o AttentionFeatures, f, p []T, a int, same []int) {
	for n, j := range [...]int{
		FeatureSink: o.Sink, FeatureSelf: a, FeaturePrevious: a - 1,
		FeatureDuplicate: a - o.Period, FeatureInduction: a - o.Period + 1,
	} {
		if j >= 0 && j < len(p) {
			f[n] = p[j]
		}
	}
	for j := same[a]; j >= 0; j = same[j] {
		f[FeatureSame] += p[j]
		f[FeatureAfterSame] += p[j+1]
	}
	for _, v := range p[:min(o.Lead, len(p))] {
		f[FeatureLead] += v
	}
}
