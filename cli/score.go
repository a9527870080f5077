package cli

import (
	"context"
	"fmt"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/transformer"
)

// score is how well a model predicts examples.
type score struct {
	Loss       *float64 `json:"loss"` // mean over the targets, in nats
	Perplexity *float64 `json:"perplexity"`
	Accuracy   float64  `json:"accuracy"`              // targets that had the highest logit
	Exact      *float64 `json:"exact_match,omitempty"` // rows whose whole completion had, EOS aside
	Targets    int      `json:"targets"`

	Class           *float64 `json:"class_accuracy,omitempty"`      // rows whose class or choice was the likeliest of those that there are
	ClassNormalized *float64 `json:"class_accuracy_norm,omitempty"` // the same by the mean of a choice's characters
}

// evaluate scores a run; only rows with answers can match exactly. Choices are nil where
// they aren't asked for.
func (b *base) evaluate(ctx context.Context, r *transformer.Run, s data.Source, f data.Format, choices *data.Choices, batch int) (tune.Score, error) {
	sc, err := tune.Evaluate(ctx, r, s, batch, b.stop)
	if !f.Answers() {
		sc.Exact = nil
	}
	if err != nil || choices == nil {
		return sc, err
	}
	chosen, err := tune.Choose(ctx, r, choices, batch)
	sc.Class = &chosen.Class
	if f == data.MultipleChoice { // the classes of a classification have no length of their own
		sc.ClassNormalized = &chosen.Normalized
	}
	return sc, err
}

// scoreFrom is what is reported of a score.
func scoreFrom(s tune.Score) *score {
	return &score{
		Loss: number(s.Loss), Perplexity: number(s.Perplexity()), Accuracy: s.Accuracy, Exact: s.Exact, Targets: s.Targets,
		Class: s.Class, ClassNormalized: s.ClassNormalized,
	}
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

// scoreBare evaluates the model without what is trained; choices are those of the source.
func (j *job) scoreBare(ctx context.Context, s data.Source, choices *data.Choices) (tune.Score, error) {
	length := longestOf(s)
	if choices != nil {
		length = max(length, choices.Longest())
	}
	if positions := j.model.Config.MaxPositions; length > positions {
		return tune.Score{}, fmt.Errorf("sequences of %d tokens for a model with %d positions", length, positions)
	}
	r, err := j.model.NewRun(transformer.RunOptions{Batch: j.plan.micro, Length: length})
	if err != nil {
		return tune.Score{}, err
	}
	defer r.Close()
	return j.evaluate(ctx, r, s, j.valid.Format, choices, j.plan.micro)
}

// choicesOf returns the choices of examples that are held out, if the metric is about them.
func (j *job) choicesOf(s data.Source) (*data.Choices, error) {
	if j.plan.metric != tune.Class {
		return nil, nil
	}
	return data.ChoicesOf(s, j.valid.Classes)
}
