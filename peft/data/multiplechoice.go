package data

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// choicesField is what a prompt calls the list of choices.
const choicesField = "choices"

// multipleChoice makes an example of a question with choices.
func (d *reader) multipleChoice(r row) (Example, error) {
	last := len(d.fields) - 1 // with a prompt of its own, a row needs no question
	texts, labels, err := r.choices(d.fields[last])
	if err != nil {
		return Example{}, err
	}
	right, err := r.rightChoice(d.fields[last-1], texts, labels)
	if err != nil {
		return Example{}, err
	}
	prompt, err := d.choicePrompt(r, texts, labels)
	if err != nil {
		return Example{}, err
	}
	answers := texts
	if d.ByIndex {
		answers = labels
	}
	e, err := d.answered(prompt, answers[right])
	if err != nil {
		return e, err
	}
	e.Class = right + 1
	for i, answer := range answers {
		ids, err := d.choiceIDs(answer)
		if err != nil {
			return e, err
		}
		e.Choices = append(e.Choices, Choice{Name: texts[i], IDs: ids})
	}
	return e, nil
}

// choicePrompt is the text before the answer; its {choices} are a list.
func (d *reader) choicePrompt(r row, texts, labels []string) (string, error) {
	if d.prompt == nil {
		return r.text(d.fields[0])
	}
	var list []string
	for i, text := range texts {
		list = append(list, labels[i]+". "+text)
	}
	value, err := json.Marshal(strings.Join(list, "\n"))
	if err != nil {
		return "", err
	}
	r = maps.Clone(r)
	r[choicesField] = value
	return d.prompt.fill(r)
}

// choices returns a field that is a list of texts, or as in ARC an object with the lists
// text and label. Without labels they are A, B, ….
func (r row) choices(name string) (texts, labels []string, err error) {
	if !r.has(name) {
		return nil, nil, fmt.Errorf("field %q is missing: %w", name, ErrFormat)
	}
	var lists struct{ Text, Label []string }
	switch raw := r[name]; {
	case raw[0] == '[' && json.Unmarshal(raw, &texts) == nil:
		for i := range texts {
			labels = append(labels, letter(i))
		}
	case raw[0] == '{' && json.Unmarshal(raw, &lists) == nil && len(lists.Text) == len(lists.Label):
		texts, labels = lists.Text, lists.Label
	default:
		return nil, nil, fmt.Errorf("field %q is no list of texts: %w", name, ErrFormat)
	}
	if len(texts) < 2 || slices.Contains(texts, "") {
		return nil, nil, fmt.Errorf("field %q: want two choices or more, none of them empty: %w", name, ErrFormat)
	}
	if strings.ContainsRune(strings.Join(texts, ""), 0) {
		return nil, nil, fmt.Errorf("field %q: a NUL character: %w", name, ErrFormat)
	}
	return texts, labels, nil
}

// letter returns A, B, …, and numbers from the 27th on.
func letter(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return strconv.Itoa(i + 1)
}

// rightChoice returns which choice a field says is right: a number is its place, from 0; a
// text is a label, else the choice itself, else also its place.
func (r row) rightChoice(name string, texts, labels []string) (int, error) {
	word, err := r.word(name)
	if err != nil {
		return 0, err
	}
	i := -1
	if r[name][0] == '"' {
		if i = slices.Index(labels, word); i < 0 {
			i = slices.Index(texts, word)
		}
	}
	if i < 0 {
		if n, err := strconv.Atoi(word); err == nil && n >= 0 && n < len(texts) {
			return n, nil
		}
		return 0, fmt.Errorf("field %q: %q is none of the labels %q, none of the choices, nor a number below %d: %w", name, word, labels, len(texts), ErrFormat)
	}
	return i, nil
}
