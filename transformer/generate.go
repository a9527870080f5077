package transformer

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
)

// Generation says how to continue a sequence.
type Generation struct {
	MaxTokens int     // new tokens at most
	Stop      []int32 // a token of these ends the text; it is not returned
	Sampling
}

// Generate continues a sequence of tokens, one at a time. The run must have a
// Context with room for all of them and, for longer prompts than its Length,
// takes them in pieces. Virtual tokens of a soft prompt go in front, as ids −1,
// −2, …; see [Run.Virtual]. The loop ends with the first error.
func (r *Run) Generate(ctx context.Context, ids []int32, g Generation) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		r.Reset()
		r.Continue(ctx, ids, g)(yield)
	}
}

// Continue is Generate behind the tokens that are in the cache ([Run.Cached]), to
// which it adds ids and all new tokens but the last.
func (r *Run) Continue(ctx context.Context, ids []int32, g Generation) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		if err := r.checkGeneration(ids, g); err != nil {
			yield(0, err)
			return
		}
		rng := rand.New(rand.NewPCG(g.Seed, 0))
		pending := ids
		for range g.MaxTokens {
			logits, err := r.next(ctx, pending)
			if err != nil {
				yield(0, err)
				return
			}
			id := g.pick(logits, rng)
			if slices.Contains(g.Stop, id) || !yield(id, nil) {
				return
			}
			pending = []int32{id}
		}
	}
}

// next feeds tokens and returns the logits after the last.
func (r *Run) next(ctx context.Context, ids []int32) ([]float32, error) {
	for piece := range slices.Chunk(ids, r.options.Length) {
		if err := r.Forward(ctx, Batch{IDs: [][]int32{piece}}); err != nil {
			return nil, err
		}
	}
	return r.Logits(ctx, r.LastRows())
}

func (r *Run) checkGeneration(ids []int32, g Generation) error {
	switch {
	case r.cache == nil:
		return fmt.Errorf("generation needs a run with a Context: %w", ErrInput)
	case len(ids) == 0:
		return fmt.Errorf("nothing to continue: %w", ErrInput)
	case g.MaxTokens < 0 || r.Cached()+len(ids)+g.MaxTokens-1 > r.options.Context:
		return fmt.Errorf("%d tokens and %d new ones in a context of %d: %w", r.Cached()+len(ids), g.MaxTokens, r.options.Context, ErrInput)
	}
	return g.check()
}

// Virtual returns the ids of the run's virtual tokens, −1, −2, …, to be put in
// front of a sequence, of task 0 if there are several; none if no adapter has a soft
// prompt.
func (r *Run) Virtual() []int32 {
	if r.adapters.prompt == nil {
		return nil
	}
	return r.WithPrompt(Batch{IDs: [][]int32{nil}}).IDs[0]
}
