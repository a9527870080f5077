package data

import "iter"

// Source is what examples come from: a Set, or a List.
type Source interface {
	// Len is the number of examples.
	Len() int
	// Length is the number of tokens of example i.
	Length(i int) int
	// Example returns example i.
	Example(i int) (Example, error)
}

// List is a Source of examples that are at hand.
type List []Example

// Len implements Source.
func (l List) Len() int { return len(l) }

// Length implements Source.
func (l List) Length(i int) int { return len(l[i].IDs) }

// Example implements Source.
func (l List) Example(i int) (Example, error) { return l[i], nil }

// Set is the content of one file, or a part of it. Its tokens are in memory, or
// those of a large file in a temporary one, so that it takes 8 bytes an example;
// Close removes that. It is a Source, and may be read by several goroutines.
type Set struct {
	Name   string
	Format Format
	Why    string // why it is that format
	SHA256 string // of the file's bytes, in hexadecimal

	Classes   []Choice // of a classification
	Truncated int      // rows that were cut to Options.MaxLength
	Cut       Cut      // what they lost
	Dropped   int      // rows left out because no token of them is a target
	Lost      int      // those of them that had targets, beyond Options.MaxLength
	Left      []int    // the first few of those, as Example.Row counts

	limit  int // Options.MaxLength
	spread int // how much longer a row with another of its own choices can be
	store  *store
	places []place
}

// Cut is what rows lost because they are longer than Options.MaxLength.
type Cut struct {
	Tokens, Targets int
	Rows            []int // the first few, as Example.Row counts
}

// named is how many rows a Set names.
const named = 10

// Len implements Source.
func (s *Set) Len() int { return len(s.places) }

// Length implements Source.
func (s *Set) Length(i int) int { return s.places[i].length() }

// Example implements Source. Errors are those of the temporary file.
func (s *Set) Example(i int) (Example, error) { return s.store.get(s.places[i]) }

// All returns the examples in order. It ends with the first error.
func (s *Set) All() iter.Seq2[Example, error] {
	return func(yield func(Example, error) bool) {
		for i := range s.places {
			e, err := s.Example(i)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Tokens returns the number of tokens of all examples.
func (s *Set) Tokens() int {
	n := 0
	for _, p := range s.places {
		n += p.length()
	}
	return n
}

// HasChoices says whether the examples have answers to choose from.
func (s *Set) HasChoices() bool { return len(s.Classes) > 1 || s.Format == MultipleChoice }

// Longest returns a length that no example exceeds, nor any of ChoicesOf: that of the
// longest example, with room for the longest answer in place of the shortest.
func (s *Set) Longest() int {
	n := 0
	for _, p := range s.places {
		n = max(n, p.length())
	}
	shortest, longest := 0, 0
	for i, c := range s.Classes {
		if n := len(c.IDs); i == 0 || n < shortest {
			shortest = n
		}
		longest = max(longest, len(c.IDs))
	}
	return n + max(s.spread, longest-shortest)
}

// Head returns the first n examples, or all if n is 0.
func (s *Set) Head(n int) *Set {
	if n == 0 || n >= len(s.places) {
		return s
	}
	short := *s
	short.places = s.places[:n]
	return &short
}

// Close removes the temporary file, if there is one. Parts of the same file share it.
func (s *Set) Close() error { return s.store.close() }

// add takes an example in, cut to the length that is allowed.
func (s *Set) add(e Example, length int) error {
	for _, c := range e.Choices {
		s.spread = max(s.spread, len(e.Prompt())+len(c.IDs)-len(e.IDs))
	}
	lost := false
	if whole := e; len(e.IDs) > length {
		e = e.cut(length)
		lost = whole.Targets() > 0
		s.Truncated++
		s.Cut.Tokens += len(whole.IDs) - length
		s.Cut.Targets += whole.Targets() - e.Targets()
		if len(s.Cut.Rows) < named {
			s.Cut.Rows = append(s.Cut.Rows, e.Row)
		}
	}
	if e.Targets() == 0 {
		s.Dropped++
		if lost {
			s.Lost++
		}
		if len(s.Left) < named {
			s.Left = append(s.Left, e.Row)
		}
		return nil
	}
	p, err := s.store.add(e)
	s.places = append(s.places, p)
	return err
}
