package transformer

import "github.com/gpupeft/gpupeft/tensor"

// Where queries find keys and values: in the run's own activations; or, if there is a
// cache or a prefix, in a tensor in which these stand in front of them.

// keys is the number of keys of each sequence for so many tokens.
func (r *Run) keys(length int) int {
	if r.cache != nil {
		return r.cache.keys
	}
	return r.adapters.prefixTokens() + length
}

// filled is the number of keys in front of the batch's.
func (r *Run) filled() int {
	if r.cache != nil {
		return r.cache.filled
	}
	return r.adapters.prefixTokens()
}

// fresh says whether the batch begins new sequences.
func (r *Run) fresh() bool { return r.filled() == r.adapters.prefixTokens() }

// inCache says whether keys and values are computed where the cache keeps them, so that
// nothing is copied: where they lie side by side and begin where a GPU can bind them.
func (r *Run) inCache() bool {
	c := r.model.Config
	return r.cache != nil && r.batch.sequences == 1 && 4*c.KVHeads*c.HeadDim%max(1, r.model.backend.Limits().Align) == 0
}

// placeInCache makes the cache's rows the places of the batch's keys and values.
func (r *Run) placeInCache() {
	if !r.inCache() {
		return
	}
	first, cols := r.cache.filled, r.model.Config.KVHeads*r.model.Config.HeadDim
	for l := range r.plan.layers {
		a := &r.plan.layers[l]
		a[RotK] = rowsOf(r.cache.k[l], first, first+r.batch.length, cols)
		a[V] = rowsOf(r.cache.v[l], first, first+r.batch.length, cols)
	}
}

// keysAndValues records what puts a layer's keys and values together.
func (r *Run) keysAndValues(p *tensor.Pass, l int) (k, v *tensor.Tensor) {
	k, v = r.plan.layers[l][RotK], r.plan.layers[l][V]
	sequences, length := r.batch.sequences, r.batch.length
	allK, allV := r.prefixed.k, r.prefixed.v
	if r.cache != nil {
		allK, allV = r.cache.k[l], r.cache.v[l]
	} else if r.adapters.prefix == nil {
		return k, v
	}
	keys := r.keys(length)
	put := func(dst, src *tensor.Tensor, rows, first, stride int) *tensor.Tensor {
		all := view(dst, sequences*keys, src.Cols())
		p.Do(tensor.Copy{Dst: all, Src: src, Batch: sequences, Rows: rows, DstStride: keys, DstFirst: first, SrcStride: stride})
		return all
	}
	if x := r.adapters.prefix; x != nil && r.fresh() {
		put(allK, x.K[l], x.Tokens, 0, 0)
		put(allV, x.V[l], x.Tokens, 0, 0)
	}
	if r.inCache() {
		return view(allK, keys, k.Cols()), view(allV, keys, v.Cols())
	}
	return put(allK, k, length, r.filled(), length), put(allV, v, length, r.filled(), length)
}

// prefixed is room for one layer's keys and values behind a prefix.
type prefixed struct{ k, v, dk, dv *tensor.Tensor } // [sequences·(prefix+length), K·h]

func newPrefixed(a *arena, c *Config, keys int, train bool) prefixed {
	room := func(name string) *tensor.Tensor { return a.new(name, tensor.F32, keys, c.KVHeads*c.HeadDim) }
	f := prefixed{k: room("prefix.k"), v: room("prefix.v")}
	if train {
		f.dk, f.dv = room("prefix.k.grad"), room("prefix.v.grad")
	}
	return f
}

// keyGradients returns where the backward pass writes the gradients of keys and values.
func (r *Run) keyGradients() (dk, dv *tensor.Tensor) {
	d := &r.plan.grads
	if r.adapters.prefix == nil {
		return d[RotK], d[V]
	}
	rows, cols := r.batch.sequences*r.keys(r.batch.length), d[V].Cols()
	return view(r.prefixed.dk, rows, cols), view(r.prefixed.dv, rows, cols)
}

// splitKeyGradients hands on what keyGradients has got.
func (r *Run) splitKeyGradients(p *tensor.Pass, l int, dk, dv *tensor.Tensor) {
	x := r.adapters.prefix
	if x == nil {
		return
	}
	d, length, keys := &r.plan.grads, r.batch.length, r.keys(r.batch.length)
	for _, part := range []struct {
		all, own *tensor.Tensor
		prefix   []*tensor.Tensor
	}{{dk, d[RotK], x.DK}, {dv, d[V], x.DV}} {
		p.Do(tensor.Copy{
			Dst: part.own, Src: part.all, Batch: r.batch.sequences, Rows: length, DstStride: length,
			SrcStride: keys, SrcFirst: x.Tokens,
		})
		if part.prefix != nil {
			p.Do(tensor.Copy{Dst: part.prefix[l], Src: part.all, Batch: r.batch.sequences, Rows: x.Tokens, SrcStride: keys, Add: true})
		}
	}
}

// cache keeps the keys (after the rotary embedding) and values of earlier tokens.
type cache struct {
	keys   int // capacity per sequence, the prefix's among them
	filled int
	k, v   []*tensor.Tensor // by layer, [sequences·keys, K·h]
}

func newCache(a *arena, c *Config, sequences, capacity int) *cache {
	ca := &cache{keys: capacity}
	for l := range c.Layers {
		ca.k = append(ca.k, a.new(Site{l, RotK}.String()+".cache", tensor.F32, sequences*capacity, c.KVHeads*c.HeadDim))
		ca.v = append(ca.v, a.new(Site{l, V}.String()+".cache", tensor.F32, sequences*capacity, c.KVHeads*c.HeadDim))
	}
	return ca
}
