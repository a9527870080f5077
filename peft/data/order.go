package data

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// groupSteps is how many steps are sorted by length together.
const groupSteps = 50

// epoch returns the rows in the order that an epoch takes them in.
func (c *Cursor) epoch() []int {
	var order []int
	if c.loader.InOrder {
		order = count(c.rows)
	} else {
		order = rand.New(rand.NewPCG(c.loader.Seed, c.state.Epoch)).Perm(c.rows)
	}
	if c.loader.ByLength {
		for piece := range slices.Chunk(order, groupSteps*c.loader.perStep()) {
			slices.SortStableFunc(piece, func(a, b int) int { return cmp.Compare(c.length(b), c.length(a)) })
		}
	}
	return order
}

// length returns a row's number of tokens.
func (c *Cursor) length(row int) int {
	if c.packs == nil {
		return c.source.Length(row)
	}
	n := 0
	for _, i := range c.packs[row] {
		n += c.source.Length(i)
	}
	return n
}

// count returns 0 to n−1.
func count(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
