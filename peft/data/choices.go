package data

import (
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// Choices has every example of a classification once with each class's answer, for
// scoring by which the model finds the most likely (as words, or with
// Options.ByIndex as numbers): example i with class c is i·len(Classes)+c. All of the
// answer is a target, and EOS isn't there: an untrained model doesn't know when to stop.
func (s *Set) Choices() Source { return choices{s} }

type choices struct{ *Set }

// Len implements Source.
func (c choices) Len() int { return c.Set.Len() * len(c.Classes) }

// Length implements Source: it is an upper bound.
func (c choices) Length(int) int { return c.Longest() }

// Example implements Source.
func (c choices) Example(i int) (Example, error) {
	e, err := c.Set.Example(i / len(c.Classes))
	if err != nil {
		return e, err
	}
	prompt, answer := e.Prompt(), c.Classes[i%len(c.Classes)].IDs
	e.IDs = slices.Concat(prompt, answer)
	e.Labels = slices.Concat(slices.Repeat([]int32{transformer.Masked}, len(prompt)), answer)
	return e, nil
}

// spread is how much longer the longest class's answer is than the shortest.
func (s *Set) spread() int {
	shortest, longest := 0, 0
	for i, c := range s.Classes {
		if n := len(c.IDs); i == 0 || n < shortest {
			shortest = n
		}
		longest = max(longest, len(c.IDs))
	}
	return longest - shortest
}
