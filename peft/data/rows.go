package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// row is the fields of one JSON object, or of a line of a table, by name.
type row map[string]json.RawMessage

func (r row) has(name string) bool { return r[name] != nil }

// names lists the fields for people.
func (r row) names() string { return fmt.Sprintf("%q", slices.Sorted(maps.Keys(r))) }

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
		if r.has(name) {
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

// word returns a field that may also be a number, true or false.
func (r row) word(name string) (string, error) {
	if raw := r[name]; len(raw) > 0 && strings.IndexByte(`"[{n`, raw[0]) < 0 {
		return string(raw), nil
	}
	return r.text(name)
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

// task returns the optional field that says which of several prompts the row is for.
func (r row) task() (task int, err error) {
	if raw, ok := r["task"]; ok {
		word, err := r.word("task")
		if err != nil || json.Unmarshal([]byte(word), &task) != nil || task < 0 {
			return 0, fmt.Errorf("field \"task\" is %s, want 0, 1, …: %w", raw, ErrFormat)
		}
	}
	return task, nil
}

// ready takes the ids and labels as they are.
func (r row) ready(vocab int) (e Example, err error) {
	if e.IDs, err = r.ints("input_ids"); err != nil {
		return e, err
	}
	if e.Labels, err = r.ints("labels"); err != nil {
		return e, err
	}
	if len(e.IDs) != len(e.Labels) {
		return e, fmt.Errorf("%d input_ids, %d labels: %w", len(e.IDs), len(e.Labels), ErrFormat)
	}
	if err := checkIDs(e.IDs, vocab); err != nil {
		return e, fmt.Errorf("field \"input_ids\": %w", err)
	}
	for i, y := range e.Labels {
		if y == transformer.Masked {
			continue
		}
		if err := checkIDs(e.Labels[i:i+1], vocab); err != nil {
			return e, fmt.Errorf("field \"labels\": %d at position %d is neither −100 nor in the vocabulary of %d: %w", y, i, vocab, ErrFormat)
		}
	}
	if r.has("attention_mask") {
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
