package interp

import (
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/transformer"
)

// Metric is a number computed from logits [B, T, V], and its gradient, of as many
// values. T are the tokens of Options.Positions.
type Metric func(logits Activation) (value float64, grad []float32, err error)

// Loss is the cross-entropy of each sequence's next tokens, the mean over all of them.
// Tokens of a soft prompt are not predicted.
func Loss(ids [][]int32) Metric {
	return func(logits Activation) (float64, []float32, error) {
		batch, length, vocab := logits.Shape[0], logits.Shape[1], logits.Shape[2]
		type target struct {
			row   int
			token int32
		}
		var targets []target
		for b, seq := range ids {
			lead := length - len(seq) // virtual tokens, the last of which predicts the first
			if b >= batch || lead < 0 {
				return 0, nil, fmt.Errorf("%d sequences of %d tokens for logits %v: %w", len(ids), len(seq), logits.Shape, transformer.ErrInput)
			}
			for t, id := range seq {
				if lead+t > 0 && id >= 0 && int(id) < vocab {
					targets = append(targets, target{b*length + lead + t - 1, id})
				}
			}
		}
		if len(targets) == 0 {
			return 0, nil, fmt.Errorf("loss of sequences of one token: %w", transformer.ErrInput)
		}
		grad, sum := make([]float32, len(logits.Values)), 0.0
		for _, t := range targets {
			row := logits.Values[t.row*vocab:][:vocab]
			lse := logSumExp(row)
			sum += lse - float64(row[t.token])
			for i, x := range row {
				grad[t.row*vocab+i] = float32(math.Exp(float64(x)-lse) / float64(len(targets)))
			}
			grad[t.row*vocab+int(t.token)] -= 1 / float32(len(targets))
		}
		return sum / float64(len(targets)), grad, nil
	}
}

// Term is a logit with a weight.
type Term struct {
	Sequence, Position int // a negative Position counts from the end: −1 is the last
	Token              int32
	Weight             float64
}

// Sum is the weighted sum of some logits.
func Sum(terms ...Term) Metric {
	return func(logits Activation) (float64, []float32, error) {
		batch, length, vocab := logits.Shape[0], logits.Shape[1], logits.Shape[2]
		grad, sum := make([]float32, len(logits.Values)), 0.0
		for _, t := range terms {
			pos := t.Position
			if pos < 0 {
				pos += length
			}
			if t.Sequence < 0 || t.Sequence >= batch || pos < 0 || pos >= length || t.Token < 0 || int(t.Token) >= vocab {
				return 0, nil, fmt.Errorf("%+v for logits %v: %w", t, logits.Shape, transformer.ErrInput)
			}
			i := (t.Sequence*length+pos)*vocab + int(t.Token)
			sum += t.Weight * float64(logits.Values[i])
			grad[i] += float32(t.Weight)
		}
		return sum, grad, nil
	}
}

// LogitDiff is how much higher the last token's logit is for right than for wrong, of
// which there is one for each sequence; the mean over sequences.
func LogitDiff(right, wrong []int32) Metric {
	return func(logits Activation) (float64, []float32, error) {
		if len(right) != logits.Shape[0] || len(wrong) != len(right) {
			return 0, nil, fmt.Errorf("%d right and %d wrong tokens for %d sequences: %w", len(right), len(wrong), logits.Shape[0], transformer.ErrInput)
		}
		var terms []Term
		for s := range right {
			share := 1 / float64(len(right))
			terms = append(terms, Term{s, -1, right[s], share}, Term{s, -1, wrong[s], -share})
		}
		return Sum(terms...)(logits)
	}
}

// LogProb is the logarithm of a token's probability, given the logits of all tokens.
func LogProb(logits []float32, token int32) float64 {
	return float64(logits[token]) - logSumExp(logits)
}

// logSumExp is log Σ exp(x).
func logSumExp(x []float32) float64 {
	top := float64(x[0])
	for _, v := range x {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}
