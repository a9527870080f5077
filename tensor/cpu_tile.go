package tensor

import "math"

// queryBlock is how many queries of a head attention takes at a time: enough for
// matrix products, few enough that their scores stay in the cache.
const queryBlock = 64

// tile is a block of queries of one head, and the range of keys that any of them
// may see.
type tile struct {
	Heads
	b, head, kv int
	query, rows int // the first query, and how many
	key, cols   int // the first key, and how many
}

func (h Heads) tile(b, head, query int) tile {
	t := tile{Heads: h, b: b, head: head, kv: h.kvHead(head), query: query, rows: min(queryBlock, h.Queries-query)}
	if h.Window > 0 && h.Prefix == 0 {
		t.key = max(0, h.First+query-h.Window+1)
	}
	t.cols = min(max(h.Prefix, h.First+query+t.rows), h.Keys) - t.key
	return t
}

// tileSize is the most scores that a tile has.
func (h Heads) tileSize() int { return min(queryBlock, h.Queries) * h.Keys }

// eachTile calls f for the tiles of all heads, with room for their scores and
// for the ranges of keys that a query sees.
func (k *task[T]) eachTile(h Heads, f func(t tile, scores []T, seen []run)) {
	blocks := (h.Queries + queryBlock - 1) / queryBlock
	k.parallel(h.Batch*h.Heads*blocks, grainFor(4*h.Dim*h.tileSize()), func(lo, hi int) {
		scores, seen := k.borrow(h.tileSize()), make([]run, 0, 2)
		defer k.scratch.Put(scores)
		for n := lo; n < hi; n++ {
			f(h.tile(n/(h.Heads*blocks), n/blocks%h.Heads, n%blocks*queryBlock), *scores, seen)
		}
	})
}

// queriesOf returns the tile's part of Q, Z and the like: [rows, Dim].
func queriesOf[T real](t tile, values []T) matrix[T] {
	at := ((t.b*t.Queries+t.query)*t.Heads.Heads + t.head) * t.Dim
	return matrix[T]{span: span[T]{values: values[at:]}, rows: t.rows, cols: t.Dim, stride: t.Heads.Heads * t.Dim}
}

// keysOf returns the tile's part of K, V and the like: [cols, Dim].
func keysOf[T real](t tile, values []T) matrix[T] {
	at := ((t.b*t.Keys+t.key)*t.KVHeads + t.kv) * t.Dim
	return matrix[T]{span: span[T]{values: values[at:]}, rows: t.cols, cols: t.Dim, stride: t.KVHeads * t.Dim}
}

// weightsOf returns the tile's rows of a matrix of one value for each key: [rows, Keys].
func weightsOf[T real](t tile, values []T) matrix[T] {
	at := ((t.b*t.Heads.Heads+t.head)*t.Queries + t.query) * t.Keys
	return matrix[T]{span: span[T]{values: values[at:]}, rows: t.rows, cols: t.Keys, stride: t.Keys}
}

// scoreTile computes the scores of all queries of a tile for all its keys, seen
// or not: [rows, cols].
func (k *task[T]) scoreTile(t tile, q, keys, scores []T) []T {
	scores = scores[:t.rows*t.cols]
	k.multiply(alone, multiplication[T]{out: rowsOf(scores, t.cols), a: queriesOf(t, q), b: keysOf(t, keys).transposed(), scale: T(t.Scale)})
	capTo(scores, scores, T(t.SoftCap))
	return scores
}

// show sets a row of scores, which begins at key first, to −∞ except for the keys seen,
// and returns it up to the last of them.
func show[T real](row []T, seen []run, first int) []T {
	at := 0
	for _, r := range seen {
		for ; at < r.from-first; at++ {
			row[at] = T(math.Inf(-1))
		}
		at = r.to - first
	}
	return row[:at]
}
