package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/transformer"
)

// score is how well a model predicts examples.
type score struct {
	Loss       *float64 `json:"loss"` // mean over the targets, in nats
	Perplexity *float64 `json:"perplexity"`
	Accuracy   float64  `json:"accuracy"`                 // targets that had the highest logit
	Exact      *float64 `json:"exact_match,omitempty"`    // rows whose whole completion had, EOS aside
	Class      *float64 `json:"class_accuracy,omitempty"` // rows whose class was the likeliest of the classes
	Targets    int      `json:"targets"`
}

// evaluate scores a run; only rows with answers can match exactly.
func (b *base) evaluate(ctx context.Context, r *transformer.Run, s data.Source, f data.Format, batch int) (tune.Score, error) {
	sc, err := tune.Evaluate(ctx, r, s, batch, b.stop)
	if !f.Answers() {
		sc.Exact = nil
	}
	return sc, err
}

// classify returns how many rows of a classification have the class whose answer is the
// likeliest.
func classify(ctx context.Context, r *transformer.Run, s *data.Set, batch int) (*float64, error) {
	choices, at, right := s.Choices(), 0, 0
	var losses []float64 // of the row's answers so far
	for l, err := range peft.Losses(ctx, r, data.Once(choices, batch)) {
		if err != nil {
			return nil, err
		}
		each := l.Each
		for range min(batch, choices.Len()-at) {
			e, err := choices.Example(at)
			if err != nil {
				return nil, err
			}
			sum := 0.0
			for _, loss := range each[:e.Targets()] {
				sum += float64(loss)
			}
			each = each[e.Targets():]
			at++
			if losses = append(losses, sum); len(losses) == len(s.Classes) {
				if slices.Index(losses, slices.Min(losses)) == e.Class-1 {
					right++
				}
				losses = losses[:0]
			}
		}
	}
	return number(float64(right) / float64(s.Len())), nil
}

// scoreFrom is what is reported of a score.
func scoreFrom(s tune.Score) *score {
	return &score{Loss: number(s.Loss), Perplexity: number(s.Perplexity()), Accuracy: s.Accuracy, Exact: s.Exact, Targets: s.Targets}
}

// majority is the score of always giving the same answer.
type majority struct {
	Completion string  `json:"completion"`
	Exact      float64 `json:"exact_match"`
}

// longestOf is the length of a source's longest example.
func longestOf(s data.Source) int {
	n := 0
	for i := range s.Len() {
		n = max(n, s.Length(i))
	}
	return n
}

// scoreBare evaluates the model without what is trained.
func (j *job) scoreBare(ctx context.Context, s data.Source) (tune.Score, error) {
	length := longestOf(s)
	if positions := j.model.Config.MaxPositions; length > positions {
		return tune.Score{}, fmt.Errorf("sequences of %d tokens for a model with %d positions", length, positions)
	}
	r, err := j.model.NewRun(transformer.RunOptions{Batch: j.plan.micro, Length: length})
	if err != nil {
		return tune.Score{}, err
	}
	defer r.Close()
	return j.evaluate(ctx, r, s, j.valid.Format, j.plan.micro)
}
