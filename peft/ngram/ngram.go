// Package ngram predicts tokens from counts of what followed the last few, the oldest
// baseline of language models: what a tuned model must beat on text.
package ngram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
)

// ErrOrder is wrapped by errors about the size of a model.
var ErrOrder = errors.New("unusable n-gram model")

// Model is interpolated Kneser-Ney (Chen and Goodman 1999, “An empirical study of
// smoothing techniques for language modeling”, section 4.1). With c the number of times
// that w followed the context h, or below the longest contexts the number of different
// tokens that stood before h w, and t the number of different w after h,
//
//	P(w|h) = (max(c(h,w) − D, 0) + D·t(h)·P(w|h')) / Σ c(h,·)
//
// where h' is h without its first token, and 1/vocabulary stands below single tokens. D
// is n₁/(n₁+2n₂) of each length of h, n being how many pairs have a count of 1 and 2.
//
// A model isn't changed once made: it may be used by several goroutines.
type Model struct {
	vocab  int
	orders []order // by the number of tokens of the context
	best   int32   // the likeliest token without a context
}

// order are the counts after contexts of one length.
type order struct {
	after    map[string]*successors
	discount float64
}

// successors are what followed a context.
type successors struct {
	counts map[int32]int32
	total  int64
}

// before stands for the missing tokens in front of a text.
const before = -1

// Fit counts the n-grams of texts, of ids from 0 to vocab−1. It returns an error that
// wraps ErrOrder for n below 1 or above 8, or an id that isn't in the vocabulary.
func Fit(n, vocab int, texts iter.Seq[[]int32]) (*Model, error) {
	if n < 1 || n > 8 || vocab < 1 {
		return nil, fmt.Errorf("%d-grams of a vocabulary of %d: %w", n, vocab, ErrOrder)
	}
	m := &Model{vocab: vocab, orders: make([]order, n)}
	for k := range m.orders {
		m.orders[k].after = map[string]*successors{}
	}
	for ids := range texts {
		for i, id := range ids {
			if id < 0 || int(id) >= vocab {
				return nil, fmt.Errorf("token %d of a vocabulary of %d: %w", id, vocab, ErrOrder)
			}
			m.count(context(ids[:i], n-1), id)
		}
	}
	for k := range m.orders {
		m.orders[k].discount = m.orders[k].estimate()
	}
	if s := m.orders[0].after[""]; s != nil {
		m.best = s.likeliest()
	}
	return m, nil
}

// count adds a token after a context, and below, if the pair is new, one more token that
// stands before it.
func (m *Model) count(context []int32, next int32) {
	for k := len(context); k >= 0; k-- {
		o, key := m.orders[k], key(context[len(context)-k:])
		s := o.after[key]
		if s == nil {
			s = &successors{counts: map[int32]int32{}}
			o.after[key] = s
		}
		s.counts[next]++
		s.total++
		if s.counts[next] > 1 {
			return
		}
	}
}

// estimate is the discount.
func (o order) estimate() float64 {
	var ones, twos float64
	for _, s := range o.after {
		for _, c := range s.counts {
			switch c {
			case 1:
				ones++
			case 2:
				twos++
			}
		}
	}
	if ones == 0 || twos == 0 {
		return 0.5
	}
	return ones / (ones + 2*twos)
}

func (s *successors) likeliest() (best int32) {
	most := int32(0)
	for id, c := range s.counts {
		if c > most || c == most && id < best {
			best, most = id, c
		}
	}
	return best
}

// context is the last n tokens of a text.
func context(ids []int32, n int) []int32 {
	c := make([]int32, n)
	for i := range c {
		if at := len(ids) - n + i; at >= 0 {
			c[i] = ids[at]
		} else {
			c[i] = before
		}
	}
	return c
}

func key(context []int32) string {
	b := make([]byte, 0, 4*len(context))
	for _, id := range context {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return string(b)
}

// Order is n.
func (m *Model) Order() int { return len(m.orders) }

// LogProb returns the natural logarithm of the probability of a token after a text.
func (m *Model) LogProb(text []int32, next int32) float64 {
	return math.Log(m.prob(context(text, len(m.orders)-1), next))
}

// prob is that of a token after a context of the greatest length.
func (m *Model) prob(context []int32, next int32) float64 {
	p := 1 / float64(m.vocab)
	for k := range m.orders {
		s := m.orders[k].after[key(context[len(context)-k:])]
		if s == nil {
			break // then no longer context has been seen either
		}
		d := m.orders[k].discount
		p = (max(float64(s.counts[next])-d, 0) + d*float64(len(s.counts))*p) / float64(s.total)
	}
	return p
}

// Likeliest returns the token with the highest probability after a text.
func (m *Model) Likeliest(text []int32) int32 {
	c := context(text, len(m.orders)-1)
	// Of the tokens that never followed any part of the context, none is likelier than
	// the one that is likeliest alone.
	best := m.best
	most := m.prob(c, best)
	for k := 1; k < len(m.orders); k++ {
		s := m.orders[k].after[key(c[len(c)-k:])]
		if s == nil {
			break
		}
		for id := range s.counts {
			if p := m.prob(c, id); p > most || p == most && id < best {
				best, most = id, p
			}
		}
	}
	return best
}
