package data

import (
	"errors"

	"github.com/gpupeft/gpupeft/transformer"
)

var (
	// ErrFormat: data that breaks its format.
	ErrFormat = errors.New("malformed data")
	// ErrTooFew: no data, or less than one batch.
	ErrTooFew = errors.New("not enough data")
	// ErrTokenizer: text for a model that has no tokenizer.
	ErrTokenizer = errors.New("no tokenizer")
)

// Example is one sequence. Labels[t] is IDs[t] where the token is a target, and
// transformer.Masked where it isn't.
type Example struct {
	IDs, Labels []int32
	Task        int // for a prompt of several tasks
}

// Targets counts the tokens that a model without a soft prompt has a loss on: all
// with a label but the first.
func (e Example) Targets() int {
	return transformer.Batch{Labels: [][]int32{e.Labels}}.Targets()
}

// Prompt returns the tokens before the first target.
func (e Example) Prompt() []int32 {
	for i, y := range e.Labels {
		if y != transformer.Masked {
			return e.IDs[:i]
		}
	}
	return e.IDs
}

// Completion returns the targets behind the first token.
func (e Example) Completion() []int32 {
	var ids []int32
	for _, y := range e.Labels[min(1, len(e.Labels)):] {
		if y != transformer.Masked {
			ids = append(ids, y)
		}
	}
	return ids
}

// Format is what a file holds.
type Format string

// The formats, as they are told to people.
const (
	Text       Format = "plain text"
	TextRows   Format = "rows of text"
	Completion Format = "rows of prompt and completion"
	Ready      Format = "rows of input_ids and labels"
)

// Set is the content of one file.
type Set struct {
	Name      string
	Format    Format
	Examples  []Example
	Truncated int // rows that were cut to Options.MaxLength
	Dropped   int // rows left out because no token of them is a target
}

// Tokens returns the number of tokens of all examples.
func (s *Set) Tokens() int {
	n := 0
	for _, e := range s.Examples {
		n += len(e.IDs)
	}
	return n
}

// Longest returns the length of the longest example.
func (s *Set) Longest() int {
	n := 0
	for _, e := range s.Examples {
		n = max(n, len(e.IDs))
	}
	return n
}

// Options say how data becomes tokens.
type Options struct {
	// Tokens encodes text. Nil is enough for Ready rows.
	Tokens Encoder
	// Vocab is the size of the model's vocabulary: ids are below it.
	Vocab int
	// MaxLength bounds the tokens of an example, at least 2.
	MaxLength int
}
