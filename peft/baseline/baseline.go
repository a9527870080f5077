// Package baseline scores predictions that need no neural network, for results to be
// compared with: the most frequent answer, and counts of n-grams.
package baseline

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/ngram"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/transformer"
)

// maxClasses is how many different answers still look like classes.
const maxClasses = 20

// Answer is an answer and how often it is right.
type Answer struct {
	IDs   []int32 // without EOS
	Right float64 // of the rows, 0 to 1
}

// Majority returns the most frequent answer of training rows, and how often it is right
// on others; nil unless the answers look like classes. Errors are those of the sources.
func Majority(train, valid data.Source) (*Answer, error) {
	counts := map[string]int{}
	var best []int32
	for i := range train.Len() {
		e, err := train.Example(i)
		if err != nil {
			return nil, err
		}
		answer := e.Completion()
		key := fmt.Sprint(answer)
		counts[key]++
		if best == nil || counts[key] > counts[fmt.Sprint(best)] {
			best = answer
		}
	}
	if len(counts) > min(maxClasses, train.Len()/2) || valid.Len() == 0 {
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
	return &Answer{best, float64(right) / float64(valid.Len())}, nil
}

// NGram fits an n-gram model on all tokens of training examples and scores it on the
// targets of others as a neural model is scored. Vocab is the size of the vocabulary,
// stop are the ids that end a text. Errors are those of the sources, wrap
// ngram.ErrOrder, or are the context's.
func NGram(ctx context.Context, n, vocab int, train, valid data.Source, stop []int32) (tune.Score, error) {
	var failed error
	m, err := ngram.Fit(n, vocab, func(yield func([]int32) bool) {
		for i := range train.Len() {
			e, err := train.Example(i)
			if failed = cmp.Or(err, ctx.Err()); failed != nil || !yield(e.IDs) {
				return
			}
		}
	})
	if err = cmp.Or(failed, err); err != nil {
		return tune.Score{}, err
	}
	var total transformer.Loss
	var matches tune.Matches
	for i := range valid.Len() {
		e, err := valid.Example(i)
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return tune.Score{}, err
		}
		l := loss(m, e)
		matches.Add(e, l.Right, stop)
		total = total.Add(l)
	}
	s := tune.ScoreOf(total)
	s.Exact = matches.Share()
	return s, nil
}

// loss is what a neural model's would be.
func loss(m *ngram.Model, e data.Example) (l transformer.Loss) {
	for t := 1; t < len(e.IDs); t++ {
		if e.Labels[t] == transformer.Masked {
			continue
		}
		l.Sum -= m.LogProb(e.IDs[:t], e.Labels[t])
		right := m.Likeliest(e.IDs[:t]) == e.Labels[t]
		if l.Right = append(l.Right, right); right {
			l.Correct++
		}
		l.Tokens++
	}
	return l
}
