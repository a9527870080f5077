package tensor

import "math"

func (k *task[T]) attention(o Attention) {
	h, z, stats := o.Heads, k.floats(o.Z), k.floats(o.Stats)
	q, keys, v, segment := k.floats(o.Q), k.floats(o.K), k.floats(o.V), k.segments(o.Segment)
	k.eachTile(h, func(t tile, scores []T, seen []run) {
		scores = k.scoreTile(t, q, keys, scores)
		for r := range t.rows {
			i, row := t.query+r, scores[r*t.cols:][:t.cols]
			stat := atStats(h, stats, t.b, t.head, i)
			stat[0], stat[1] = T(math.Inf(-1)), 0
			seen = h.runs(t.b, i, segment, seen[:0])
			shown := show(row, seen, t.key)
			clear(row[len(shown):])
			if len(shown) == 0 {
				continue
			}
			top := k.maximum(shown)
			sum := k.expSum(shown, shown, top)
			k.scaleTo(shown, shown, 1/sum)
			stat[0] = top + T(math.Log(float64(sum)))
		}
		k.multiply(alone, multiplication[T]{out: queriesOf(t, z), a: rowsOf(scores, t.cols), b: keysOf(t, v), scale: 1})
	})
}

func (k *task[T]) attentionBackward(o AttentionBackward) {
	h, dk, dv := o.Heads, k.floats(o.DK), k.floats(o.DV)
	start := func(b, kv int) {
		clearKeys(h, dk, b, kv)
		clearKeys(h, dv, b, kv)
	}
	k.eachKeyHead(h, start, func(b, head int) {
		p, g := k.borrow(h.tileSize()), k.borrow(h.tileSize())
		defer k.scratch.Put(p)
		defer k.scratch.Put(g)
		for i := 0; i < h.Queries && !k.cancelled(); i += queryBlock {
			k.attentionBackwardTile(o, h.tile(b, head, i), *p, *g)
		}
	})
}

// attentionBackwardTile computes the gradient of a tile's queries, and adds its
// part to those of its keys. p and g have room for P and g of the formulas.
func (k *task[T]) attentionBackwardTile(o AttentionBackward, t tile, p, g []T) {
	q, keys, v, dz := k.floats(o.Q), k.floats(o.K), k.floats(o.V), queriesOf(t, k.floats(o.DZ))
	p = k.scoreTile(t, q, keys, p)
	g = g[:len(p)]
	k.multiply(alone, multiplication[T]{out: rowsOf(g, t.cols), a: dz, b: keysOf(t, v).transposed(), scale: 1})
	k.gradientOfScores(o, t, p, g)

	pm, gm := rowsOf(p, t.cols), rowsOf(g, t.cols)
	k.multiply(alone, multiplication[T]{out: keysOf(t, k.floats(o.DV)), a: pm.transposed(), b: dz, scale: 1, add: true})
	k.multiply(alone, multiplication[T]{out: keysOf(t, k.floats(o.DK)), a: gm.transposed(), b: queriesOf(t, q), scale: 1, add: true})
	k.multiply(alone, multiplication[T]{out: queriesOf(t, k.floats(o.DQ)), a: gm, b: keysOf(t, keys), scale: 1})
}

// gradientOfScores turns a tile's scores s in p into P, and DZ·V in g into the g
// of the formulas.
func (k *task[T]) gradientOfScores(o AttentionBackward, t tile, p, g []T) {
	h, z, dz, stats := o.Heads, k.floats(o.Z), k.floats(o.DZ), k.floats(o.Stats)
	segment, scale, limit := k.segments(o.Segment), T(o.Scale), T(o.SoftCap)
	seen := make([]run, 0, 2)
	for r := range t.rows {
		i := t.query + r
		p, g := p[r*t.cols:][:t.cols], g[r*t.cols:][:t.cols]
		stat := atStats(h, stats, t.b, t.head, i)
		stat[1] = k.dot(atQuery(h, dz, t.b, t.head, i), atQuery(h, z, t.b, t.head, i))
		seen = h.runs(t.b, i, segment, seen[:0])
		shown := show(p, seen, t.key)
		clear(p[len(shown):])
		clear(g[len(shown):])
		p, g = shown, g[:len(shown)]
		for j := 0; j < len(p) && limit > 0; j++ {
			if s := p[j]; s > T(math.Inf(-1)) {
				g[j] = stat[1] + (g[j]-stat[1])*capSlope(s, limit)
			}
		}
		k.expSum(p, p, stat[0])
		k.scoreGradient(g, p, stat[1], scale)
	}
}

// segments returns the values of the optional operand.
func (k *task[T]) segments(t *Tensor) []int32 {
	if t == nil {
		return nil
	}
	return k.ints(t)
}
