package cli

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

// score is how well a model predicts examples.
type score struct {
	Loss       *float64 `json:"loss"` // mean over the targets, in nats
	Perplexity *float64 `json:"perplexity"`
	Accuracy   float64  `json:"accuracy"`              // targets that had the highest logit
	Exact      *float64 `json:"exact_match,omitempty"` // rows whose whole completion had, EOS aside
	Targets    int      `json:"targets"`
}

// evaluate scores a run, of rows with completions also by exact matches.
func (b *base) evaluate(ctx context.Context, r *transformer.Run, s *data.Set, batch int) (*score, error) {
	l, err := peft.Evaluate(ctx, r, data.Once(s.Examples, batch))
	if err != nil {
		return nil, err
	}
	sc := newScore(l)
	if s.Format == data.Completion {
		sc.Exact, err = b.exact(ctx, r, s.Examples)
	}
	return sc, err
}

// exact returns the share of rows whose completion the model would generate word for
// word by taking the most likely token each time: that is so where each target is
// the most likely one, given those before it. Whether the model then stops isn't
// asked, as an untuned one can't know the format. Rows are run one by one, because a
// run counts right predictions by batch.
func (b *base) exact(ctx context.Context, r *transformer.Run, examples []data.Example) (*float64, error) {
	right, rows := 0, 0
	for _, e := range examples {
		if last := len(e.IDs) - 1; slices.Contains(b.stop, e.Labels[last]) {
			e = data.Example{IDs: e.IDs[:last], Labels: e.Labels[:last]}
		}
		if e.Targets() == 0 {
			continue
		}
		l, err := peft.Evaluate(ctx, r, data.Once([]data.Example{e}, 1))
		if err != nil {
			return nil, err
		}
		rows++
		if l.Correct == l.Tokens {
			right++
		}
	}
	return number(float64(right) / float64(rows)), nil
}

func newScore(l transformer.Loss) *score {
	return &score{Loss: number(l.Mean()), Perplexity: number(math.Exp(l.Mean())),
		Accuracy: float64(l.Correct) / float64(max(1, l.Tokens)), Targets: l.Tokens}
}

// majority is the score of always giving the same answer.
type majority struct {
	Completion string  `json:"completion"`
	Exact      float64 `json:"exact_match"`
}

// maxClasses is how many different completions still look like classes.
const maxClasses = 20

// majorityOf returns the training rows' most frequent completion and how often it
// is right on the held-out rows; nil unless the rows look like classes.
func majorityOf(train, valid *data.Set, decode func(ids []int32) string) *majority {
	if train.Format != data.Completion || valid == nil || decode == nil {
		return nil
	}
	counts := map[string]int{}
	var best []int32
	for _, e := range train.Examples {
		c := e.Completion()
		key := fmt.Sprint(c)
		counts[key]++
		if best == nil || counts[key] > counts[fmt.Sprint(best)] {
			best = c
		}
	}
	if len(counts) > min(maxClasses, len(train.Examples)/2) {
		return nil
	}
	right := 0
	for _, e := range valid.Examples {
		if slices.Equal(e.Completion(), best) {
			right++
		}
	}
	return &majority{decode(best), float64(right) / float64(len(valid.Examples))}
}

// head returns the first n examples of a set, or all if n is 0.
func head(s *data.Set, n int) *data.Set {
	if s == nil || n == 0 || n >= len(s.Examples) {
		return s
	}
	short := *s
	short.Examples = s.Examples[:n]
	return &short
}
