package tensor

import "fmt"

// Causal attention with grouped queries, as one streaming operation that never
// holds the matrix of scores (Dao et al. 2022, arXiv 2205.14135). For query i of
// a head and key j of the key head that the head belongs to:
//
//	s[i,j] = cap(Scale · Q[i]·K[j])          cap(x) = SoftCap·tanh(x/SoftCap), if SoftCap > 0
//	P[i,j] = exp(s[i,j] − LSE[i])            LSE[i] = log Σ_j exp(s[i,j]) over the visible j
//	Z[i]   = Σ_j P[i,j]·V[j]
//
// and backward, with D[i] = Σ_e DZ[i,e]·Z[i,e] and c' = 1 − (s/SoftCap)² or 1:
//
//	DV[j] = Σ_i P[i,j]·DZ[i]
//	g[i,j] = P[i,j]·(DZ[i]·V[j] − D[i])·c'[i,j]·Scale
//	DQ[i] = Σ_j g[i,j]·K[j]
//	DK[j] = Σ_i g[i,j]·Q[i]                  over all heads that share the key head
//
// A query that sees no key (padding) gets Z = 0 and LSE = −∞, and no gradient.

// Heads is the geometry and the masking rule of an attention operation.
//
// Each of Batch sequences has Queries rows in Q and Keys rows in K and V. Query i
// stands at key First+i: First is the number of keys that were there before (a
// prefix, a KV cache). It sees key j if j < Prefix, or if
//
//	j ≤ First+i,  First+i−j < Window (if Window > 0),  and
//	Segment[j] = Segment[First+i] ≥ 0 (if there is a Segment).
//
// If Prefix is Keys, every query sees every key (cross-attention): there may then be
// more queries than keys, and no Segment.
type Heads struct {
	Batch, Queries, Keys int
	First, Prefix        int
	Heads, KVHeads, Dim  int     // query heads, key heads, head size
	Window               int     // 0: all earlier keys
	Scale, SoftCap       float32 // SoftCap 0: none
}

// Attention is the streaming forward pass.
type Attention struct {
	Z       *Tensor // [Batch*Queries, Heads*Dim]
	Stats   *Tensor // [Batch*Queries*Heads, 2]: LSE, and room for D
	Q       *Tensor // [Batch*Queries, Heads*Dim]
	K, V    *Tensor // [Batch*Keys, KVHeads*Dim]
	Segment *Tensor // [Batch*Keys] I32, optional: documents by number, −1 is padding
	Heads
}

// Name implements Op.
func (Attention) Name() string { return "attention" }

// Operands implements Op.
func (o Attention) Operands() []Operand {
	return optional([]Operand{out("Z", o.Z), out("Stats", o.Stats), in("Q", o.Q), in("K", o.K), in("V", o.V)}, in("Segment", o.Segment))
}

// Check implements Op.
func (o Attention) Check() error {
	return first(o.Heads.check(o.Segment), o.query("Z", o.Z), o.query("Q", o.Q), o.key("K", o.K), o.key("V", o.V),
		o.stats(o.Stats))
}

// Flops implements Op.
func (o Attention) Flops() float64 { return 4 * o.pairs() }

// AttentionBackward is the gradient of Q, K and V. It fills the second column of
// Stats.
type AttentionBackward struct {
	DQ      *Tensor // [Batch*Queries, Heads*Dim]
	DK, DV  *Tensor // [Batch*Keys, KVHeads*Dim]
	DZ, Z   *Tensor // [Batch*Queries, Heads*Dim]
	Stats   *Tensor // of the forward pass
	Q       *Tensor // [Batch*Queries, Heads*Dim]
	K, V    *Tensor // [Batch*Keys, KVHeads*Dim]
	Segment *Tensor // as in the forward pass
	Heads
}

// Name implements Op.
func (AttentionBackward) Name() string { return "attention.backward" }

// Operands implements Op.
func (o AttentionBackward) Operands() []Operand {
	return optional([]Operand{
		out("DQ", o.DQ), out("DK", o.DK), out("DV", o.DV), in("DZ", o.DZ), in("Z", o.Z),
		update("Stats", o.Stats), in("Q", o.Q), in("K", o.K), in("V", o.V),
	}, in("Segment", o.Segment))
}

// Check implements Op.
func (o AttentionBackward) Check() error {
	return first(o.Heads.check(o.Segment), o.query("DQ", o.DQ), o.key("DK", o.DK), o.key("DV", o.DV), o.query("DZ", o.DZ),
		o.query("Z", o.Z), o.stats(o.Stats), o.query("Q", o.Q), o.key("K", o.K), o.key("V", o.V))
}

// Flops implements Op.
func (o AttentionBackward) Flops() float64 { return 14 * o.pairs() }

// check verifies the geometry itself and the optional segments.
func (h Heads) check(segment *Tensor) error {
	switch {
	case h.Batch < 1 || h.Queries < 1 || h.Keys < 1 || h.Heads < 1 || h.KVHeads < 1 || h.Dim < 1:
		return fmt.Errorf("geometry %+v has an empty dimension: %w", h, ErrShape)
	case h.Heads%h.KVHeads != 0:
		return fmt.Errorf("%d heads don't divide over %d key heads: %w", h.Heads, h.KVHeads, ErrShape)
	case h.Prefix == h.Keys && (segment != nil || h.First != 0):
		return fmt.Errorf("queries that see all %d keys, but a Segment or %d earlier keys: %w", h.Keys, h.First, ErrShape)
	case h.Prefix == h.Keys:
		return nil
	case h.First < 0 || h.First+h.Queries > h.Keys || h.Prefix < 0 || h.Prefix > h.Keys || h.Window < 0:
		return fmt.Errorf("%d queries from key %d, prefix %d, window %d don't fit %d keys: %w",
			h.Queries, h.First, h.Prefix, h.Window, h.Keys, ErrShape)
	case h.SoftCap < 0:
		return fmt.Errorf("soft-cap %v is negative: %w", h.SoftCap, ErrShape)
	case segment != nil:
		return want("Segment", segment, I32, h.Batch*h.Keys)
	}
	return nil
}

func (h Heads) query(field string, t *Tensor) error {
	return want(field, t, F32, h.Batch*h.Queries, h.Heads*h.Dim)
}

func (h Heads) key(field string, t *Tensor) error {
	return want(field, t, F32, h.Batch*h.Keys, h.KVHeads*h.Dim)
}

func (h Heads) stats(t *Tensor) error {
	return want("Stats", t, F32, h.Batch*h.Queries*h.Heads, 2)
}

// square checks a matrix of one value for each query and key of each head.
func (h Heads) square(field string, t *Tensor) error {
	return want(field, t, F32, h.Batch*h.Heads*h.Queries, h.Keys)
}

// pairs counts the multiplications of Q·Kᵀ for the visible keys.
func (h Heads) pairs() float64 {
	if h.Prefix == h.Keys {
		return float64(h.Batch * h.Heads * h.Queries * h.Dim * h.Keys)
	}
	keys := float64(h.First) + float64(h.Queries+1)/2
	if h.Window > 0 && keys > float64(h.Window) {
		keys = float64(h.Window)
	}
	return float64(h.Batch*h.Heads*h.Queries*h.Dim) * (keys + float64(h.Prefix))
}
