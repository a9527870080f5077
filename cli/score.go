package cli

import (
	"context"
	"fmt"
	"math"
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

// evaluate scores a run, of rows with completions also by exact matches.
func (b *base) evaluate(ctx context.Context, r *transformer.Run, s *data.Set, batch int) (*score, error) {
	var total transformer.Loss
	var matches exactMatches
	at := 0 // in s
	for l, err := range peft.Losses(ctx, r, data.Once(s, batch)) {
		if err != nil {
			return nil, err
		}
		total = total.Add(l)
		for right := l.Right; len(right) > 0; at++ {
			e, err := s.Example(at)
			if err != nil {
				return nil, err
			}
			n := e.Targets()
			matches.add(e, right[:n], b.stop)
			right = right[n:]
		}
	}
	sc := newScore(total)
	if s.Format.Answers() {
		sc.Exact = number(float64(matches.right) / float64(matches.rows))
	}
	return sc, nil
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

// library returns what decides about stopping and the best.
func (s *score) library() tune.Score {
	loss := math.NaN()
	if s.Loss != nil {
		loss = *s.Loss
	}
	return tune.Score{Loss: loss, Accuracy: s.Accuracy, Exact: s.Exact, Targets: s.Targets}
}

// scoreFrom is its inverse.
func scoreFrom(s tune.Score) *score {
	return &score{Loss: number(s.Loss), Perplexity: number(s.Perplexity()), Accuracy: s.Accuracy, Exact: s.Exact, Targets: s.Targets}
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
// is right on the held-out rows; nil unless the answers look like classes.
func majorityOf(train, valid data.Source, decode func(ids []int32) string) (*majority, error) {
	counts := map[string]int{}
	var best []int32
	for i := range train.Len() {
		e, err := train.Example(i)
		if err != nil {
			return nil, err
		}
		c := e.Completion()
		key := fmt.Sprint(c)
		counts[key]++
		if best == nil || counts[key] > counts[fmt.Sprint(best)] {
			best = c
		}
	}
	if len(counts) > min(maxClasses, train.Len()/2) {
		return nil, nil
	}
	right := 0
	for i := range valid.Len() {
		e, err := valid.Example(i)
		if err != nil {
			return nil, err
		}
		if slices.Equal(e.Completion(), best) {
			right++
		}
	}
	return &majority{decode(best), float64(right) / float64(valid.Len())}, nil
}
