package data

import (
	"fmt"
	"slices"
	"strings"
)

// Format is what a file holds.
type Format string

// The formats, as they are told to people.
const (
	Text       Format = "plain text"
	TextRows   Format = "rows of text"
	Completion Format = "rows of prompt and completion"
	Alpaca     Format = "rows of instruction, input and output"
	Chat       Format = "rows of messages"
	Classes    Format = "rows of text and label"
	Ready      Format = "rows of input_ids and labels"

	MultipleChoice Format = "rows of question and choices"
)

// formatNames are the formats of rows by short names.
var formatNames = []struct {
	name   string
	format Format
}{{"alpaca", Alpaca}, {"messages", Chat}, {"completion", Completion}, {"text", TextRows}, {"classification", Classes}, {"multiple-choice", MultipleChoice}, {"ids", Ready}}

// FormatNamed returns the format of rows with a short name: alpaca, messages,
// completion, text, classification, multiple-choice or ids; "" for auto. Errors wrap ErrOptions.
func FormatNamed(name string) (Format, error) {
	known := []string{"auto"}
	for _, f := range formatNames {
		if f.name == name {
			return f.format, nil
		}
		known = append(known, f.name)
	}
	if name == "auto" {
		return "", nil
	}
	return "", fmt.Errorf("%q (known: %s): %w", name, strings.Join(known, ", "), ErrOptions)
}

// Answers says whether each row has one answer to a prompt.
func (f Format) Answers() bool {
	return f == Completion || f == Alpaca || f == Classes || f == MultipleChoice
}

// layout is how a format lies in the fields of a row: each of needs is a list of
// names of which a row must have one.
type layout struct {
	format Format
	needs  [][]string
}

// layouts returns the formats in the order in which a first row is tried on them;
// fields that a format doesn't need are ignored.
func (k Keys) layouts() []layout {
	named := func(key string, usual ...string) []string {
		if key != "" {
			return []string{key}
		}
		return usual
	}
	prompt, completion := named(k.Prompt, "prompt", "question"), named(k.Completion, "completion", "answer", "response")
	text, label := named(k.Text, "text", "sentence"), named(k.Label, "label")
	question, right := named(k.Prompt, "prompt", "question", "ctx"), named(k.Label, "label", "answer", "answerKey")
	return []layout{
		{Ready, [][]string{{"input_ids"}, {"labels"}}},
		{Chat, [][]string{{"messages", "conversations"}}},
		{MultipleChoice, [][]string{question, right, named(k.Choices, "choices", "options", "endings")}},
		{Completion, [][]string{prompt, completion}},
		{Alpaca, [][]string{{"instruction"}, {"output", "response"}}},
		{Classes, [][]string{text, label}},
		{TextRows, [][]string{text}},
	}
}

// fields returns, for each need, the field that the row has. missing is the first
// need without one, with all its names.
func (l layout) fields(r row) (have []string, missing string) {
	for _, names := range l.needs {
		i := slices.IndexFunc(names, r.has)
		if i < 0 {
			return have, strings.Join(names, " or ")
		}
		have = append(have, names[i])
	}
	return have, ""
}

// find returns the layout of a first row, and why it is that one.
func (o *Options) find(r row) (l layout, fields []string, why string, err error) {
	all := o.Keys.layouts()
	// With a prompt of its own, the answer's field is enough.
	if o.Prompt != "" {
		for i := range all {
			if all[i].format.Answers() {
				all[i].needs = all[i].needs[1:]
			}
		}
	}
	if o.Format != "" {
		i := slices.IndexFunc(all, func(l layout) bool { return l.format == o.Format })
		if i < 0 {
			return l, nil, "", fmt.Errorf("%s: %w", o.Format, ErrOptions)
		}
		fields, missing := all[i].fields(r)
		if missing != "" {
			return l, nil, "", fmt.Errorf("field %q is missing (the row has %s): %w", missing, r.names(), ErrFormat)
		}
		return all[i], fields, "as asked for", nil
	}
	var known []string
	for _, l := range all {
		fields, missing := l.fields(r)
		if missing == "" {
			return l, fields, "the first row has " + quotedList(fields), nil
		}
		var names []string
		for _, need := range l.needs {
			names = append(names, strings.Join(need, " or "))
		}
		known = append(known, strings.Join(names, " and "))
	}
	// An incomplete pair is more helpful to name than the whole list.
	for _, l := range all {
		if l.format == MultipleChoice && !slices.ContainsFunc(l.needs[len(l.needs)-1], r.has) {
			continue // without choices it isn't what is meant
		}
		for _, need := range l.needs {
			if _, missing := l.fields(r); slices.ContainsFunc(need, r.has) {
				return l, nil, "", fmt.Errorf("field %q is missing (the row has %s): %w", missing, r.names(), ErrFormat)
			}
		}
	}
	return l, nil, "", fmt.Errorf("fields %s, want one of: %s: %w", r.names(), strings.Join(known, "; "), ErrFormat)
}

// quotedList returns `"a", "b" and "c"`.
func quotedList(names []string) string {
	var text strings.Builder
	for i, name := range names {
		switch {
		case i > 0 && i == len(names)-1:
			text.WriteString(" and ")
		case i > 0:
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%q", name)
	}
	return text.String()
}
