package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// row is the fields of one JSON object, by name.
type row map[string]json.RawMessage

// fieldsOf are the fields that a format needs. A first row that has all of them
// decides the format; other fields of a row are ignored.
var fieldsOf = []struct {
	format Format
	fields []string
}{
	{Ready, []string{"input_ids", "labels"}},
	{Completion, []string{"prompt", "completion"}},
	{TextRows, []string{"text"}},
}

// parseRow takes a JSON object apart. A field that occurs twice is an error.
func parseRow(text []byte) (row, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("no JSON (%w): %w", err, ErrFormat)
	}
	if t != json.Delim('{') {
		return nil, fmt.Errorf("no JSON object: %w", ErrFormat)
	}
	r := row{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("no JSON (%w): %w", err, ErrFormat)
		}
		name, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("no JSON object: %w", ErrFormat)
		}
		if r[name] != nil {
			return nil, fmt.Errorf("field %q occurs twice: %w", name, ErrFormat)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("field %q: no JSON (%w): %w", name, err, ErrFormat)
		}
		r[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("no JSON (%w): %w", err, ErrFormat)
	}
	if len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return nil, fmt.Errorf("text behind the JSON object: %w", ErrFormat)
	}
	return r, nil
}

// format returns what a first row holds.
func (r row) format() (Format, error) {
	var known []string
	for _, f := range fieldsOf {
		if r.missing(f.fields) == "" {
			return f.format, nil
		}
		known = append(known, strings.Join(f.fields, " and "))
	}
	// An incomplete pair is more helpful to name than the whole list.
	for _, f := range fieldsOf {
		if name := r.missing(f.fields); slices.ContainsFunc(f.fields, func(n string) bool { return r[n] != nil }) {
			return "", fmt.Errorf("field %q is missing: %w", name, ErrFormat)
		}
	}
	var have []string
	for name := range r {
		have = append(have, name)
	}
	slices.Sort(have)
	return "", fmt.Errorf("fields %q, want one of: %s: %w", have, strings.Join(known, "; "), ErrFormat)
}

// missing returns the first field that the row lacks, or "".
func (r row) missing(fields []string) string {
	for _, name := range fields {
		if r[name] == nil {
			return name
		}
	}
	return ""
}

// text returns a field that must be a string.
func (r row) text(name string) (string, error) {
	raw, ok := r[name]
	if !ok {
		return "", fmt.Errorf("field %q is missing: %w", name, ErrFormat)
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("field %q is no string: %w", name, ErrFormat)
	}
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("field %q: a NUL character: %w", name, ErrFormat)
	}
	return s, nil
}

// ints returns a field that must be a list of integers.
func (r row) ints(name string) ([]int32, error) {
	raw, ok := r[name]
	if !ok {
		return nil, fmt.Errorf("field %q is missing: %w", name, ErrFormat)
	}
	var list []int32
	// Unmarshal takes null for a zero.
	if bytes.Contains(raw, []byte("null")) || json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("field %q is no list of integers: %w", name, ErrFormat)
	}
	return list, nil
}

// example makes an example of a row, of any length. Every format may have a task.
func (r row) example(f Format, o Options) (Example, error) {
	e, err := r.sequence(f, o)
	if raw, ok := r["task"]; ok && err == nil {
		if json.Unmarshal(raw, &e.Task) != nil || e.Task < 0 {
			err = fmt.Errorf("field \"task\" is %s, want 0, 1, …: %w", raw, ErrFormat)
		}
	}
	return e, err
}

// sequence makes its tokens and labels.
func (r row) sequence(f Format, o Options) (Example, error) {
	switch f {
	case Ready:
		return r.ready(o)
	case Completion:
		return r.completion(o)
	}
	text, err := r.text("text")
	if err != nil {
		return Example{}, err
	}
	ids, err := encodeText(o.Tokens, text)
	if err != nil || len(ids) == 0 {
		return Example{}, err
	}
	return Example{IDs: ids, Labels: afterFirst(ids)}, checkTokens(ids, o.Vocab)
}

func (r row) completion(o Options) (Example, error) {
	prompt, err := r.text("prompt")
	if err != nil {
		return Example{}, err
	}
	completion, err := r.text("completion")
	if err != nil {
		return Example{}, err
	}
	p, c, err := encodeCompletion(o.Tokens, prompt, completion)
	if err != nil {
		return Example{}, err
	}
	e := Example{IDs: slices.Concat(p, c), Labels: slices.Concat(slices.Repeat([]int32{transformer.Masked}, len(p)), c)}
	return e, checkTokens(e.IDs, o.Vocab)
}

func checkTokens(ids []int32, vocab int) error {
	if err := checkIDs(ids, vocab); err != nil {
		return fmt.Errorf("token %w", err)
	}
	return nil
}

func (r row) ready(o Options) (e Example, err error) {
	if e.IDs, err = r.ints("input_ids"); err != nil {
		return e, err
	}
	if e.Labels, err = r.ints("labels"); err != nil {
		return e, err
	}
	if len(e.IDs) != len(e.Labels) {
		return e, fmt.Errorf("%d input_ids, %d labels: %w", len(e.IDs), len(e.Labels), ErrFormat)
	}
	if err := checkIDs(e.IDs, o.Vocab); err != nil {
		return e, fmt.Errorf("field \"input_ids\": %w", err)
	}
	for i, y := range e.Labels {
		if y == transformer.Masked {
			continue
		}
		if err := checkIDs(e.Labels[i:i+1], o.Vocab); err != nil {
			return e, fmt.Errorf("field \"labels\": %d at position %d is neither −100 nor in the vocabulary of %d: %w", y, i, o.Vocab, ErrFormat)
		}
	}
	if r["attention_mask"] != nil {
		mask, err := r.ints("attention_mask")
		if err != nil {
			return e, err
		}
		if slices.Contains(mask, 0) {
			return e, fmt.Errorf("field \"attention_mask\" has zeros (give rows without padding): %w", ErrFormat)
		}
	}
	return e, nil
}
