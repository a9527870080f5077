package data

import (
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// Choice is an answer that can be chosen: a class of a classification, or a choice of a
// row of MultipleChoice.
type Choice struct {
	Name string  // the class's, or the choice's text
	IDs  []int32 // what the model is to answer, without EOS
}

// Choices is a Source that has every example of another once with each answer that it
// could have, one after the other, for scoring by which the model finds the most likely.
// All of the answer is a target, and EOS isn't there: an untrained model doesn't know
// when to stop.
type Choices struct {
	source  Source
	classes []Choice
	of      []int32 // the example of each
	first   []int32 // its place here
	longest int
}

// ChoicesOf returns the choices of the examples of a source: those that an example has
// itself, else the classes. Errors are those of the source.
func ChoicesOf(s Source, classes []Choice) (*Choices, error) {
	c := &Choices{source: s, classes: classes}
	for i := range s.Len() {
		e, err := s.Example(i)
		if err != nil {
			return nil, err
		}
		at, prompt := int32(len(c.of)), len(e.Prompt())
		for _, choice := range c.choices(e) {
			c.of, c.first = append(c.of, int32(i)), append(c.first, at)
			c.longest = max(c.longest, prompt+len(choice.IDs))
		}
	}
	return c, nil
}

func (c *Choices) choices(e Example) []Choice {
	if e.Choices != nil {
		return e.Choices
	}
	return c.classes
}

// Len implements Source.
func (c *Choices) Len() int { return len(c.of) }

// Length implements Source: it is an upper bound.
func (c *Choices) Length(int) int { return c.longest }

// Longest is the number of tokens of the longest example.
func (c *Choices) Longest() int { return c.longest }

// Example implements Source. Class is the right choice of the example that it is one of,
// from 1, and Choices what it was one of.
func (c *Choices) Example(i int) (Example, error) {
	e, err := c.source.Example(int(c.of[i]))
	if err != nil {
		return e, err
	}
	e.Choices = c.choices(e)
	prompt, answer := e.Prompt(), e.Choices[c.Choice(i)].IDs
	e.IDs = slices.Concat(prompt, answer)
	e.Labels = slices.Concat(slices.Repeat([]int32{transformer.Masked}, len(prompt)), answer)
	return e, nil
}

// Choice returns which of the choices of its example example i has, from 0.
func (c *Choices) Choice(i int) int { return i - int(c.first[i]) }
