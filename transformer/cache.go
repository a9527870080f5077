package transformer

import "github.com/gpupeft/gpupeft/tensor"

// cache keeps the keys (after the rotary embedding) and values of earlier tokens.
type cache struct {
	keys   int // capacity per sequence
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

// extend appends a layer's new keys and values and returns all of them.
func (ca *cache) extend(p *tensor.Pass, l int, k, v *tensor.Tensor, sequences, length int) (allK, allV *tensor.Tensor) {
	cp := tensor.Copy{Batch: sequences, Rows: length, DstStride: ca.keys, DstFirst: ca.filled, SrcStride: length}
	cp.Dst, cp.Src = ca.k[l], k
	p.Do(cp)
	cp.Dst, cp.Src = ca.v[l], v
	p.Do(cp)
	shape := []int{sequences * ca.keys, k.Cols()}
	return view(ca.k[l], shape...), view(ca.v[l], shape...)
}
