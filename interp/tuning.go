package interp

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// Tuning is what adapters change inside a model.
type Tuning struct {
	// Base and Tuned are the scores without and with the adapters. Those of weights are the
	// model's own, and in Base only.
	Base, Tuned *Heads
	// Attention is what PromptAttention finds; nil without soft prompt and prefix.
	Attention [][][]float64
	// Prompt is what the stream would say at each position of a soft prompt, as LogitLens
	// has it; the first place is the prompt's vectors themselves. nil without one.
	Prompt []Lens
	// Divergence is how far the two models' streams are apart on the first sequence.
	Divergence []Divergence
}

// CompareTuned runs sequences without and with adapters, those of o, and compares what happens
// inside. top is how many guesses there are at each position of a soft prompt.
func CompareTuned(ctx context.Context, m *transformer.Model, ids [][]int32, o InspectOptions, top int) (*Tuning, error) {
	base, tuned := o, o
	base.Adapters, base.Task, tuned.Weights, tuned.Composition = nil, 0, false, false
	t := &Tuning{}
	var err error
	if t.Base, err = InspectHeads(ctx, m, ids, base); err != nil {
		return nil, err
	}
	if t.Tuned, err = InspectHeads(ctx, m, ids, tuned); err != nil {
		return nil, err
	}
	if t.Attention, err = PromptAttention(ctx, m, ids, o.Adapters, o.Task); err != nil {
		return nil, err
	}
	with := Options{Adapters: o.Adapters, Task: o.Task}
	if n := virtualTokens(o.Adapters); n > 0 {
		at := with
		at.Positions = textPositions(nil, n)
		if t.Prompt, err = LogitLens(ctx, m, ids[:1], top, at); err != nil {
			return nil, err
		}
	}
	t.Divergence, err = LensDivergence(ctx, m, ids[:1], Options{}, with)
	return t, err
}

// Changed are the n heads whose score has changed most, the largest change first; Score is the
// tuned one's, and Baseline the base's. It is nil if either hasn't the score.
func (t *Tuning) Changed(name string, n int) []Ranked {
	if t.Base.Scores[name] == nil || t.Tuned.Scores[name] == nil {
		return nil
	}
	var all []Ranked
	for l, heads := range t.Tuned.Scores[name] {
		for h, v := range heads {
			all = append(all, Ranked{l, h, v, t.Base.Scores[name][l][h]})
		}
	}
	slices.SortStableFunc(all, func(a, b Ranked) int { return cmp.Compare(math.Abs(b.Score-b.Baseline), math.Abs(a.Score-a.Baseline)) })
	return all[:min(n, len(all))]
}
