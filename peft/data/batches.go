package data

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// Loader makes batches of examples. They come in epochs, each of which has every
// example once; as with PyTorch's DataLoader (drop_last=False) and HF's Trainer, its
// last batch and its last step may be smaller than the others.
type Loader struct {
	Batch      int    // examples of a batch, 0 means 1
	Accumulate int    // batches of a step, 0 means 1
	Micro      int    // examples that are computed together, 0 means Batch
	InOrder    bool   // keep the file's order; else each epoch is shuffled
	Seed       uint64 // the same seed gives the same order
}

func (l Loader) batch() int   { return max(1, l.Batch) }
func (l Loader) micro() int   { return cmp.Or(max(0, l.Micro), l.batch()) }
func (l Loader) perStep() int { return l.batch() * max(1, l.Accumulate) }

// check makes sure that n examples make a batch.
func (l Loader) check(n int) error {
	if n < l.batch() {
		return fmt.Errorf("%d examples are less than one batch of %d: %w", n, l.batch(), ErrTooFew)
	}
	return nil
}

// StepsPerEpoch returns how many steps n examples make. Errors wrap ErrTooFew.
func (l Loader) StepsPerEpoch(n int) (int, error) {
	if err := l.check(n); err != nil {
		return 0, err
	}
	return (n + l.perStep() - 1) / l.perStep(), nil
}

// Steps returns the batches of one step after the other, epoch after epoch, without
// end. Errors wrap ErrTooFew.
func (l Loader) Steps(examples []Example) iter.Seq2[[]transformer.Batch, error] {
	return func(yield func([]transformer.Batch, error) bool) {
		if err := l.check(len(examples)); err != nil {
			yield(nil, err)
			return
		}
		for epoch := uint64(0); ; epoch++ {
			for step := range slices.Chunk(l.order(len(examples), epoch), l.perStep()) {
				var batches []transformer.Batch
				for indices := range slices.Chunk(step, l.micro()) {
					batches = append(batches, gather(examples, indices))
				}
				if !yield(batches, nil) {
					return
				}
			}
		}
	}
}

// order returns the examples' indices as an epoch takes them.
func (l Loader) order(n int, epoch uint64) []int {
	if !l.InOrder {
		return rand.New(rand.NewPCG(l.Seed, epoch)).Perm(n)
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

func gather(examples []Example, indices []int) transformer.Batch {
	var b transformer.Batch
	for _, i := range indices {
		add(&b, examples[i])
	}
	return b
}

func add(b *transformer.Batch, e Example) {
	b.IDs = append(b.IDs, e.IDs)
	b.Labels = append(b.Labels, e.Labels)
	b.Tasks = append(b.Tasks, e.Task)
}

// Once returns batches of all examples in order, for evaluation.
func Once(examples []Example, batch int) iter.Seq2[transformer.Batch, error] {
	return func(yield func(transformer.Batch, error) bool) {
		for list := range slices.Chunk(examples, max(1, batch)) {
			var b transformer.Batch
			for _, e := range list {
				add(&b, e)
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}
