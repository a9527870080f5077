package tensor

import "math"

// run is a range of keys.
type run struct{ from, to int }

// runs appends to all the ranges of keys that query i of batch b sees, in order.
func (h Heads) runs(b, i int, segment []int32, all []run) []run {
	if h.Prefix > 0 {
		all = append(all, run{0, h.Prefix})
	}
	at := min(h.First+i, h.Keys-1)
	from := h.Prefix
	if h.Window > 0 {
		from = max(from, at-h.Window+1)
	}
	if segment == nil {
		if from <= at {
			all = append(all, run{from, at + 1})
		}
		return all
	}
	segment = segment[b*h.Keys:]
	for j := from; j <= at; j++ {
		if segment[j] != segment[at] || segment[at] < 0 {
			continue
		}
		if last := len(all) - 1; last >= 0 && all[last].to == j {
			all[last].to++
		} else {
			all = append(all, run{j, j + 1})
		}
	}
	return all
}

// atQuery returns the part of Q, Z and the like that belongs to one query head.
func atQuery[T real](h Heads, t []T, b, head, i int) []T {
	return t[((b*h.Queries+i)*h.Heads+head)*h.Dim:][:h.Dim]
}

// atScore returns a query's row of a matrix of one value for each key.
func atScore[T real](h Heads, t []T, b, head, i int) []T {
	return t[((b*h.Heads+head)*h.Queries+i)*h.Keys:][:h.Keys]
}

// atStats returns a query's pair of LSE and D.
func atStats[T real](h Heads, t []T, b, head, i int) []T {
	return t[2*((b*h.Queries+i)*h.Heads+head):][:2]
}

// clearKeys zeroes the gradient of one key head.
func clearKeys[T real](h Heads, t []T, b, kvHead int) {
	for j := range h.Keys {
		clear(atKey(h, t, b, kvHead, j))
	}
}

// atKey returns the part of K, V and the like that belongs to one key head.
func atKey[T real](h Heads, t []T, b, kvHead, j int) []T {
	return t[((b*h.Keys+j)*h.KVHeads+kvHead)*h.Dim:][:h.Dim]
}

// kvHead returns the key head that a query head belongs to.
func (h Heads) kvHead(head int) int { return head / (h.Heads / h.KVHeads) }

// capped squashes a score into (−limit, limit), if there is a limit.
func capped[T real](x, limit T) T {
	if limit > 0 {
		return limit * T(math.Tanh(float64(x/limit)))
	}
	return x
}

// capSlope is the derivative of capped, from its result.
func capSlope[T real](y, limit T) T {
	if limit > 0 {
		return 1 - (y/limit)*(y/limit)
	}
	return 1
}

// eachKeyHead calls start for every key head and then f for every head that
// shares it. A key head belongs to one goroutine, so that no two add to the same
// gradient.
func (k *task[T]) eachKeyHead(h Heads, start func(b, kv int), f func(b, head int)) {
	group := h.Heads / h.KVHeads
	k.parallel(h.Batch*h.KVHeads, 1, func(lo, hi int) {
		for n := lo; n < hi; n++ {
			b, kv := n/h.KVHeads, n%h.KVHeads
			start(b, kv)
			for head := kv * group; head < (kv+1)*group && !k.cancelled(); head++ {
				f(b, head)
			}
		}
	})
}

func exp[T real](x T) T { return T(math.Exp(float64(x))) }
