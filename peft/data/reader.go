package data

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/gpupeft/gpupeft/transformer/chat"
)

// reader turns the rows of one file into examples.
type reader struct {
	*Options
	set     *Set
	prompt  *pattern // of Options.Prompt, or of the format; nil: a field alone
	fields  []string // that the format needs, as this file calls them
	classes *classes // of all files of a data set
}

// alpacaPrompt is Stanford Alpaca's prompt; alpacaInput comes between for rows that
// have an input.
const (
	alpacaStart = "Below is an instruction that describes a task"
	alpacaInput = ", paired with an input that provides further context"
	alpacaTail  = ". Write a response that appropriately completes the request.\n\n### Instruction:\n"
)

// begin chooses the format by the first row.
func (d *reader) begin(r row) error {
	l, fields, why, err := d.find(r)
	if err != nil {
		return err
	}
	d.set.Format, d.set.Why, d.fields = l.format, why, fields
	if l.format != Ready && d.Tokens == nil {
		return needsTokenizer("the row")
	}
	if l.format == Chat && d.Template == nil {
		return fmt.Errorf("rows of messages need a chat template (name one): %w", ErrOptions)
	}
	switch {
	case d.Prompt != "":
		d.prompt, err = parsePattern(d.Prompt)
	case l.format == Classes:
		d.prompt = &pattern{{field: fields[0]}, {text: "\nLabel:"}}
	case l.format == MultipleChoice && d.ByIndex:
		d.prompt = &pattern{{field: fields[0]}, {text: "\n"}, {field: choicesField}, {text: "\nAnswer:"}}
	case l.format == MultipleChoice && fields[0] != "ctx": // HellaSwag's, to be continued
		d.prompt = &pattern{{field: fields[0]}, {text: "\nAnswer:"}}
	}
	return err
}

// add takes a row in; number says which it is.
func (d *reader) add(r row, number int) error {
	if d.set.Format == "" {
		if err := d.begin(r); err != nil {
			return err
		}
	}
	e, err := d.example(r)
	if err == nil {
		e.Task, err = r.task()
	}
	if err != nil {
		return err
	}
	if len(e.IDs) > 0 && d.WholeLoss && d.set.Format != Ready {
		e.Labels = afterFirst(e.IDs)
	}
	if e.Row = number; len(e.IDs) > maxTokens {
		return fmt.Errorf("%d tokens in a row: %w", len(e.IDs), ErrFormat)
	}
	return d.set.add(e, d.MaxLength)
}

// example makes an example of a row, of any length.
func (d *reader) example(r row) (e Example, err error) {
	switch d.set.Format {
	case Ready:
		return r.ready(d.Vocab)
	case TextRows:
		text, err := r.text(d.fields[0])
		if err != nil {
			return e, err
		}
		ids, err := encodeText(d.Tokens, text)
		if err != nil || len(ids) == 0 {
			return e, err
		}
		return Example{IDs: ids, Labels: afterFirst(ids)}, checkTokens(ids, d.Vocab)
	case Chat:
		messages, err := r.messages(d.fields[0])
		if err != nil {
			return e, err
		}
		return d.conversation(messages, 0)
	case MultipleChoice:
		return d.multipleChoice(r)
	case Completion:
		if d.prompt == nil && len(r[d.fields[0]]) > 0 && r[d.fields[0]][0] == '[' {
			return d.conversations(r)
		}
	}
	prompt, answer, class, err := d.answer(r)
	if err != nil {
		return e, err
	}
	if e, err = d.answered(prompt, answer); err == nil {
		e.Class = class
	}
	return e, err
}

// answered makes an example of a prompt and its answer.
func (d *reader) answered(prompt, answer string) (Example, error) {
	if d.Converse && d.Template != nil {
		return d.conversation([]chat.Message{{Role: chat.User, Content: prompt}, {Role: chat.Assistant, Content: answer}}, 0)
	}
	if d.set.Format == Classes || d.set.Format == MultipleChoice {
		answer = " " + answer
	}
	e, err := encodeParts(d.Tokens, []part{{text: prompt}, {text: answer, target: true}}, true)
	if err != nil {
		return e, err
	}
	e = e.ended(d.Tokens)
	return e, checkTokens(e.IDs, d.Vocab)
}

// answer returns the two texts of a row that is a prompt and an answer.
func (d *reader) answer(r row) (prompt, answer string, class int, err error) {
	last := d.fields[len(d.fields)-1] // the answer's, in all of these formats
	switch {
	case d.prompt != nil:
		prompt, err = d.prompt.fill(r)
	case d.set.Format == Alpaca:
		prompt, err = r.alpaca(d.Converse)
	default:
		prompt, err = r.text(d.fields[0])
	}
	if err != nil {
		return "", "", 0, err
	}
	if d.set.Format != Classes {
		answer, err = r.text(last)
		return prompt, answer, 0, err
	}
	if answer, err = r.word(last); err != nil {
		return "", "", 0, err
	}
	class, err = d.classes.of(answer)
	if err != nil {
		return "", "", 0, fmt.Errorf("field %q: %w", last, err)
	}
	return prompt, d.classes.answers()[class-1], class, nil
}

// alpaca returns the prompt of a row with instruction and input; plain leaves the
// words around these out.
func (r row) alpaca(plain bool) (string, error) {
	instruction, err := r.text("instruction")
	input := ""
	for _, name := range []string{"input", "context"} { // the latter is Dolly's
		if err == nil && input == "" && r.has(name) && string(r[name]) != "null" {
			input, err = r.text(name)
		}
	}
	switch {
	case err != nil:
		return "", err
	case plain && input == "":
		return instruction, nil
	case plain:
		return instruction + "\n\n" + input, nil
	case input == "":
		return alpacaStart + alpacaTail + instruction + "\n\n### Response:\n", nil
	}
	return alpacaStart + alpacaInput + alpacaTail + instruction + "\n\n### Input:\n" + input + "\n\n### Response:\n", nil
}

// classes numbers the labels of a classification, the same in all files.
type classes struct {
	names   []string
	fixed   bool // names were given
	byIndex bool
}

// maxClasses bounds them: what has more isn't a classification.
const maxClasses = 1000

// of returns a label's class, from 1.
func (c *classes) of(label string) (int, error) {
	if i := slices.Index(c.names, label); i >= 0 {
		return i + 1, nil
	}
	if c.fixed {
		if n, err := strconv.Atoi(label); err == nil && n >= 0 && n < len(c.names) {
			return n + 1, nil
		}
		return 0, fmt.Errorf("%q is none of the classes %q, nor a number below %d: %w", label, c.names, len(c.names), ErrFormat)
	}
	if c.byIndex {
		return 0, fmt.Errorf("label %q: classes by number need their names in order: %w", label, ErrOptions)
	}
	if len(c.names) == maxClasses {
		return 0, fmt.Errorf("more than %d different labels: this is no classification (name the format): %w", maxClasses, ErrFormat)
	}
	c.names = append(c.names, label)
	return len(c.names), nil
}

// answers are what the model is to say for each class.
func (c *classes) answers() []string {
	if !c.byIndex {
		return c.names
	}
	numbers := make([]string, len(c.names))
	for i := range numbers {
		numbers[i] = strconv.Itoa(i)
	}
	return numbers
}

// list encodes the answers.
func (c *classes) list(o *Options) ([]Choice, error) {
	var list []Choice
	for i, answer := range c.answers() {
		ids, err := o.choiceIDs(answer)
		if err != nil {
			return nil, err
		}
		list = append(list, Choice{Name: c.names[i], IDs: ids})
	}
	return list, nil
}

// choiceIDs encodes an answer that is chosen. It follows a prompt, or in a conversation
// the tokens that open an answer.
func (o *Options) choiceIDs(answer string) ([]int32, error) {
	before := ":"
	if o.Converse && o.Template != nil {
		before = "\n"
	} else {
		answer = " " + answer
	}
	e, err := encodeParts(o.Tokens, []part{{text: before}, {text: answer, target: true}}, false)
	return e.IDs[len(e.Prompt()):], err
}

func newClasses(o *Options) *classes {
	return &classes{names: slices.Clone(o.Classes), fixed: len(o.Classes) > 0, byIndex: o.ByIndex}
}

// newReader prepares for a file.
func newReader(name string, o Options, c *classes) *reader {
	return &reader{Options: &o, classes: c, set: &Set{Name: name, limit: o.MaxLength, store: &store{limit: cmp.Or(max(0, o.Memory), storeMemory)}}}
}

func checkTokens(ids []int32, vocab int) error {
	if err := checkIDs(ids, vocab); err != nil {
		return fmt.Errorf("token %w", err)
	}
	return nil
}
