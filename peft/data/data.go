package data

import (
	"errors"

	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
)

var (
	// ErrFormat: data that breaks its format.
	ErrFormat = errors.New("malformed data")
	// ErrTooFew: no data, or less than one batch.
	ErrTooFew = errors.New("not enough data")
	// ErrTokenizer: text for a model that has no tokenizer.
	ErrTokenizer = errors.New("no tokenizer")
	// ErrOptions: options that contradict each other or the data.
	ErrOptions = errors.New("wrong options for the data")
)

// Example is one sequence. Labels[t] is IDs[t] where the token is a target, and
// transformer.Masked where it isn't.
type Example struct {
	IDs, Labels []int32
	Task        int      // for a prompt of several tasks
	Class       int      // the right one of Choices, or of a row of Classes its place in Set.Classes, from 1; else 0
	Choices     []Choice // of a row of MultipleChoice
	// Row says where the example comes from: its line in a file of lines or records,
	// its place in a JSON array, its block of a plain text, all from 1; 0: unknown.
	Row int
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

// cut returns the first n tokens.
func (e Example) cut(n int) Example {
	e.IDs, e.Labels = e.IDs[:n], e.Labels[:n]
	return e
}

// Options say how data becomes tokens.
type Options struct {
	// Tokens encodes text. Nil is enough for Ready rows.
	Tokens Encoder
	// Vocab is the size of the model's vocabulary: ids are below it.
	Vocab int
	// MaxLength bounds the tokens of an example, at least 2 and below 1<<24.
	MaxLength int

	// Format, if set, is what the rows must have; else the first one decides.
	Format Format
	// Keys names the fields that differ from the usual names.
	Keys Keys
	// Prompt, if set, is the text before the answer, for all formats of rows that have
	// one answer: {name} stands for a field of the row, {choices} for those of a row of
	// MultipleChoice, a line each behind its letter, {{ and }} for braces. Without it,
	// rows of prompt and completion have their prompt, rows of Alpaca their usual text,
	// rows of Classes "{text}\nLabel:", and rows of MultipleChoice "{question}\nAnswer:",
	// or with ByIndex "{question}\n{choices}\nAnswer:".
	Prompt string
	// Template turns conversations into text. Rows of messages need one.
	Template chat.Template
	// Converse makes a conversation of each row of prompt and answer, too.
	Converse bool
	// Classes names the labels of a classification in order, so that they may be
	// numbers in the file. Without it they are what the file has.
	Classes []string
	// ByIndex lets the model answer with the number of a class in place of its name, or
	// the letter of a choice in place of its text.
	ByIndex bool
	// WholeLoss makes prompts targets as well.
	WholeLoss bool
	// LastTurn makes only the last answer of a conversation a target, in place of all.
	LastTurn bool
	// Memory bounds the bytes of tokens that a file may take in memory; what is more
	// goes to a temporary file, at three bytes a token. 0 means 64 MiB.
	Memory int
}

// Keys are names of fields; an empty one means the usual name.
type Keys struct {
	Prompt     string // "prompt" or "question", with choices also "ctx"
	Completion string // "completion", "answer" or "response"
	Text       string // "text" or "sentence"
	Label      string // "label", with choices also "answer" or "answerKey"
	Choices    string // "choices", "options" or "endings"
}
