package tensor

import "fmt"

// Cross-entropy of next-token logits, a part of the vocabulary at a time, so that
// the whole [tokens, vocabulary] matrix never exists. The caller computes the
// logits of columns [First, First+C) into Logits and, part after part, folds them
// into a running summary of each row:
//
//	Stats[m] = {max_v x_v, Σ_v exp(x_v − max), x_target, argmax_v x_v}
//	x = cap(Logits)       cap(x) = SoftCap·tanh(x/SoftCap), if SoftCap > 0
//	loss[m] = log(Stats[m,1]) + Stats[m,0] − Stats[m,2]
//
// and after the last part computes each part's logits again and turns them into
// the gradient with regard to the logits before capping:
//
//	DLogits[m,v] = Scale · (exp(x_v − max)/sum − 1{v = target}) · cap'(x_v)
//
// Rows whose target is negative are masked: x_target stays 0, and their gradient
// is zero.

// StatsWidth is the number of values a row of CrossEntropy.Stats has.
const StatsWidth = 4

// CrossEntropy folds one part of the logits into Stats.
type CrossEntropy struct {
	Stats   *Tensor // [M, StatsWidth]; started anew when First is 0
	Logits  *Tensor // [M, C], before capping
	Targets *Tensor // [M] I32, negative: masked
	First   int     // the vocabulary id of column 0
	SoftCap float32 // 0: none
}

// Name implements Op.
func (CrossEntropy) Name() string { return "crossentropy" }

// Operands implements Op.
func (o CrossEntropy) Operands() []Operand {
	return []Operand{outOrAdd("Stats", o.Stats, o.First > 0), in("Logits", o.Logits), in("Targets", o.Targets)}
}

// Check implements Op.
func (o CrossEntropy) Check() error {
	return checkCrossEntropy(o.Stats, o.Logits, o.Targets, o.First, o.SoftCap)
}

// Flops implements Op.
func (o CrossEntropy) Flops() float64 { return 10 * float64(o.Logits.Len()) }

// CrossEntropyBackward replaces one part of the logits by its gradient.
type CrossEntropyBackward struct {
	Logits  *Tensor // [M, C]: logits before capping in, DLogits out
	Stats   *Tensor // [M, StatsWidth], complete
	Targets *Tensor // [M] I32, negative: masked
	First   int     // the vocabulary id of column 0
	SoftCap float32 // 0: none
	Scale   float32 // 0 means 1
}

// Name implements Op.
func (CrossEntropyBackward) Name() string { return "crossentropy.backward" }

// Operands implements Op.
func (o CrossEntropyBackward) Operands() []Operand {
	return []Operand{update("Logits", o.Logits), in("Stats", o.Stats), in("Targets", o.Targets)}
}

// Check implements Op.
func (o CrossEntropyBackward) Check() error {
	return checkCrossEntropy(o.Stats, o.Logits, o.Targets, o.First, o.SoftCap)
}

// Flops implements Op.
func (o CrossEntropyBackward) Flops() float64 { return 10 * float64(o.Logits.Len()) }

func checkCrossEntropy(stats, logits, targets *Tensor, firstID int, softCap float32) error {
	m, c := lead(logits)
	if firstID < 0 || softCap < 0 {
		return fmt.Errorf("first column %d, soft-cap %v: %w", firstID, softCap, ErrShape)
	}
	return first(want("Logits", logits, F32, m, c), want("Stats", stats, F32, m, StatsWidth), want("Targets", targets, I32, m))
}
