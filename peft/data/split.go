package data

import (
	"math"
	"math/rand/v2"
)

// Split holds a part of the examples back: of plain text the end, of rows a random
// choice that only the seed decides. There is at least one example on either side
// if fraction is above 0 and there are two. Both sides keep the file's order.
func (s *Set) Split(fraction float64, seed uint64) (train, valid *Set) {
	n := s.Len()
	held := 0
	if fraction > 0 && n > 1 {
		held = min(max(1, int(math.Round(fraction*float64(n)))), n-1)
	}
	out := make([]bool, n)
	if s.Format == Text {
		for i := n - held; i < n; i++ {
			out[i] = true
		}
	} else {
		for _, i := range rand.New(rand.NewPCG(seed, splitStream)).Perm(n)[:held] {
			out[i] = true
		}
	}
	train, valid = s.part(), s.part()
	for i, p := range s.places {
		if out[i] {
			valid.places = append(valid.places, p)
		} else {
			train.places = append(train.places, p)
		}
	}
	return train, valid
}

// splitStream tells the generator of splits from those of epochs, which count from
// 0.
const splitStream = math.MaxUint64

// part returns the set without its examples.
func (s *Set) part() *Set {
	c := *s
	c.places = nil
	return &c
}
