package interp

import (
	"fmt"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/transformer"
)

// Activation is a tensor on the host, row-major.
type Activation struct {
	Shape  []int
	Values []float32
}

// size is the number of values that the shape makes; 0 without one.
func (a Activation) size() int {
	if len(a.Shape) == 0 {
		return 0
	}
	return product(a.Shape)
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// a layout says what the dimensions of a site's values mean.
type layout struct {
	shape    []int
	position int   // the axis of tokens
	head     int   // of heads, or −1
	key      int   // of keys, or −1
	tokens   []int // the tokens along the axis
}

// newLayout lays a site out for a batch of sequences of the given tokens. keys are
// those that each attends to.
func newLayout(c *transformer.Config, p transformer.Point, batch int, tokens []int, keys int) layout {
	l := layout{shape: p.Shape(c, batch, len(tokens), keys), position: 1, head: -1, key: -1, tokens: tokens}
	switch {
	case p == transformer.Scores || p == transformer.Pattern:
		l.head, l.position, l.key = 1, 2, 3
	case len(l.shape) == 4:
		l.head = 2
	}
	return l
}

// size is the number of values.
func (l layout) size() int { return product(l.shape) }

// each calls f for every value with its place along each axis.
func (l layout) each(f func(i int, at []int)) {
	at := make([]int, len(l.shape))
	for i := range l.size() {
		f(i, at)
		for d := len(at) - 1; d >= 0; d-- {
			if at[d]++; at[d] < l.shape[d] {
				break
			}
			at[d] = 0
		}
	}
}

// picked is the shape of the part of values for some tokens.
func (l layout) picked(positions *bitset.BitSet) []int {
	shape := slices.Clone(l.shape)
	shape[l.position] = 0
	for _, t := range l.tokens {
		if has(positions, t) {
			shape[l.position]++
		}
	}
	return shape
}

// pick returns the part of values for some tokens, and its shape.
func (l layout) pick(values []float32, positions *bitset.BitSet) Activation {
	a := Activation{Shape: l.picked(positions)}
	if positions == nil {
		a.Values = values
		return a
	}
	inner := product(l.shape[l.position+1:])
	for row := range len(values) / inner {
		if has(positions, l.tokens[row%len(l.tokens)]) {
			a.Values = append(a.Values, values[row*inner:(row+1)*inner]...)
		}
	}
	return a
}

// check makes sure that a set has no member beyond n.
func check(what, hook string, set *bitset.BitSet, n int) error {
	if set == nil {
		return nil
	}
	if beyond, ok := set.NextSet(uint(n)); ok {
		return fmt.Errorf("%s %d of %s, which has %d: %w", what, beyond, hook, n, transformer.ErrInput)
	}
	return nil
}
