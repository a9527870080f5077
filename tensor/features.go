package tensor

import "fmt"

// What a query's weights say about its head, without a matrix of weights: a few sums
// over its keys, computed from the log-sum-exp that [Attention] leaves behind. Query i
// stands at key a = First+i, and P[i,j] is its weight on key j:
//
//	FeatureSink       P[i,Sink]                       Sink is the key of the first token
//	FeatureSelf       P[i,a]
//	FeaturePrevious   P[i,a−1]
//	FeatureDuplicate  P[i,a−Period]                   Period is how far a token repeats
//	FeatureInduction  P[i,a−Period+1]
//	FeatureSame       Σ P[i,j] over j < a with id[j] = id[a]
//	FeatureAfterSame  Σ P[i,j] over j ≤ a with id[j−1] = id[a] and j−1 < a
//	FeatureEntropy    −Σ P[i,j]·ln P[i,j], in nats
//	FeatureDistance   Σ P[i,j]·(a−j)
//	FeatureLead       Σ P[i,j] over j < Lead          keys in front of the text
//
// Keys that the query doesn't see, or that don't exist, have weight 0.
const (
	FeatureSink = iota
	FeatureSelf
	FeaturePrevious
	FeatureDuplicate
	FeatureInduction
	FeatureSame
	FeatureAfterSame
	FeatureEntropy
	FeatureDistance
	FeatureLead
	NumFeatures
)

// AttentionFeatures computes the features of every query and head.
type AttentionFeatures struct {
	Out     *Tensor // [Batch*Queries*Heads, NumFeatures]
	Q       *Tensor // [Batch*Queries, Heads*Dim]
	K       *Tensor // [Batch*Keys, KVHeads*Dim]
	Stats   *Tensor // of Attention
	IDs     *Tensor // [Batch*Keys] I32, the keys' tokens
	Segment *Tensor // [Batch*Keys] I32, optional
	Heads
	Sink, Period, Lead int // keys; Period ≥ 1
}

// Name implements Op.
func (AttentionFeatures) Name() string { return "features" }

// Operands implements Op.
func (o AttentionFeatures) Operands() []Operand {
	return optional([]Operand{out("Out", o.Out), in("Q", o.Q), in("K", o.K), in("Stats", o.Stats), in("IDs", o.IDs)}, in("Segment", o.Segment))
}

// Check implements Op.
func (o AttentionFeatures) Check() error {
	if o.Sink < 0 || o.Period < 1 || o.Lead < 0 {
		return fmt.Errorf("sink %d, period %d, lead %d: %w", o.Sink, o.Period, o.Lead, ErrShape)
	}
	return first(o.Heads.check(o.Segment), want("Out", o.Out, F32, o.Batch*o.Queries*o.Heads.Heads, NumFeatures), o.query("Q", o.Q),
		o.key("K", o.K), o.stats(o.Stats), want("IDs", o.IDs, I32, o.Batch*o.Keys))
}

// Flops implements Op.
func (o AttentionFeatures) Flops() float64 { return 2 * o.pairs() }
