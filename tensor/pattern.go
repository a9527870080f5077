package tensor

// Attention in steps, for when the matrix of scores or the pattern is wanted, or
// is to be changed: AttentionScores, [Softmax], AttentionMix. The formulas and
// the masking rule are those of [Attention]; the three steps give its Z.

// AttentionScores writes s[i,j], and −∞ where query i doesn't see key j
// (TransformerLens' hook_attn_scores).
type AttentionScores struct {
	Scores  *Tensor // [Batch*Heads*Queries, Keys]
	Q       *Tensor // [Batch*Queries, Heads*Dim]
	K       *Tensor // [Batch*Keys, KVHeads*Dim]
	Segment *Tensor // [Batch*Keys] I32, optional
	Heads
}

// Name implements Op.
func (AttentionScores) Name() string { return "pattern.scores" }

// Operands implements Op.
func (o AttentionScores) Operands() []Operand {
	return optional([]Operand{out("Scores", o.Scores), in("Q", o.Q), in("K", o.K)}, in("Segment", o.Segment))
}

// Check implements Op.
func (o AttentionScores) Check() error {
	return first(o.Heads.check(o.Segment), o.square("Scores", o.Scores), o.query("Q", o.Q), o.key("K", o.K))
}

// Flops implements Op.
func (o AttentionScores) Flops() float64 { return 2 * o.pairs() }

// AttentionScoresBackward is the gradient of Q and K. Masked scores pass none.
type AttentionScoresBackward struct {
	DQ      *Tensor // [Batch*Queries, Heads*Dim]
	DK      *Tensor // [Batch*Keys, KVHeads*Dim]
	DScores *Tensor // [Batch*Heads*Queries, Keys]
	Scores  *Tensor // of the forward pass
	Q, K    *Tensor
	Heads
}

// Name implements Op.
func (AttentionScoresBackward) Name() string { return "pattern.scores.backward" }

// Operands implements Op.
func (o AttentionScoresBackward) Operands() []Operand {
	return []Operand{out("DQ", o.DQ), out("DK", o.DK), in("DScores", o.DScores), in("Scores", o.Scores), in("Q", o.Q), in("K", o.K)}
}

// Check implements Op.
func (o AttentionScoresBackward) Check() error {
	return first(o.Heads.check(nil), o.query("DQ", o.DQ), o.key("DK", o.DK), o.square("DScores", o.DScores),
		o.square("Scores", o.Scores), o.query("Q", o.Q), o.key("K", o.K))
}

// Flops implements Op.
func (o AttentionScoresBackward) Flops() float64 { return 4 * o.pairs() }

// AttentionMix is Z[i] = Σ_j Pattern[i,j]·V[j], over all keys.
type AttentionMix struct {
	Z       *Tensor // [Batch*Queries, Heads*Dim]
	Pattern *Tensor // [Batch*Heads*Queries, Keys]
	V       *Tensor // [Batch*Keys, KVHeads*Dim]
	Heads
}

// Name implements Op.
func (AttentionMix) Name() string { return "pattern.mix" }

// Operands implements Op.
func (o AttentionMix) Operands() []Operand {
	return []Operand{out("Z", o.Z), in("Pattern", o.Pattern), in("V", o.V)}
}

// Check implements Op.
func (o AttentionMix) Check() error {
	return first(o.Heads.check(nil), o.query("Z", o.Z), o.square("Pattern", o.Pattern), o.key("V", o.V))
}

// Flops implements Op.
func (o AttentionMix) Flops() float64 { return 2 * o.pairs() }

// AttentionMixBackward is the gradient of the pattern and of V:
//
//	DPattern[i,j] = DZ[i]·V[j]
//	DV[j]         = Σ_i Pattern[i,j]·DZ[i]
type AttentionMixBackward struct {
	DPattern *Tensor // [Batch*Heads*Queries, Keys]
	DV       *Tensor // [Batch*Keys, KVHeads*Dim]
	DZ       *Tensor // [Batch*Queries, Heads*Dim]
	Pattern  *Tensor // of the forward pass
	V        *Tensor
	Heads
}

// Name implements Op.
func (AttentionMixBackward) Name() string { return "pattern.mix.backward" }

// Operands implements Op.
func (o AttentionMixBackward) Operands() []Operand {
	return []Operand{out("DPattern", o.DPattern), out("DV", o.DV), in("DZ", o.DZ), in("Pattern", o.Pattern), in("V", o.V)}
}

// Check implements Op.
func (o AttentionMixBackward) Check() error {
	return first(o.Heads.check(nil), o.square("DPattern", o.DPattern), o.key("DV", o.DV), o.query("DZ", o.DZ),
		o.square("Pattern", o.Pattern), o.key("V", o.V))
}

// Flops implements Op.
func (o AttentionMixBackward) Flops() float64 { return 4 * o.pairs() }
