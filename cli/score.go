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
	var total transformer.Loss
	var matches exactMatches
	at := 0 // in s.Examples
	for l, err := range peft.Losses(ctx, r, data.Once(s.Examples, batch)) {
		if err != nil {
			return nil, err
		}
		total = total.Add(l)
		for right := l.Right; len(right) > 0; at++ {
			n := s.Examples[at].Targets()
			matches.add(s.Examples[at], right[:n], b.stop)
			right = right[n:]
		}
	}
	sc := newScore(total)
	if s.Format == data.Completion {
		sc.Exact = number(float64(matches.right) / float64(matches.rows))
	}
	return sc, nil
}

// exactMatches counts the rows whose completion the model would generate word for
// word by taking the most likely token each time: that is so where each target is
// the most likely one, given those before it. Whether the model then stops isn't
// asked, as an untuned one can't know the format.
type exactMatches struct{ rows, right int }

// add counts a row, given which of its targets are the most likely tokens.
func (m *exactMatches) add(e data.Example, right []bool, stop []int32) {
	if last := len(e.Labels) - 1; slices.Contains(stop, e.Labels[last]) {
		right = right[:len(right)-1]
	}
	if len(right) == 0 {
		return
	}
	m.rows++
	if !slices.Contains(right, false) {
		m.right++
	}
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
