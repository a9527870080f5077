package data

import (
	"fmt"
	"strings"
)

// pattern is a text with places for fields of a row.
type pattern []struct{ text, field string } // one of the two

// parsePattern reads a text with {name} for fields, and {{ and }} for braces.
func parsePattern(text string) (*pattern, error) {
	var p pattern
	var plain strings.Builder
	flush := func() {
		if plain.Len() > 0 {
			p = append(p, struct{ text, field string }{text: plain.String()})
			plain.Reset()
		}
	}
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			plain.WriteByte(rest[0])
			rest = rest[2:]
		case rest[0] == '{':
			name, after, ok := strings.Cut(rest[1:], "}")
			if !ok || name == "" {
				return nil, fmt.Errorf("prompt %q: a { without name or } (a brace is {{): %w", text, ErrOptions)
			}
			flush()
			p, rest = append(p, struct{ text, field string }{field: name}), after
		case rest[0] == '}':
			return nil, fmt.Errorf("prompt %q: a } without { (a brace is }}): %w", text, ErrOptions)
		default:
			plain.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	flush()
	return &p, nil
}

// fill puts a row's fields in.
func (p pattern) fill(r row) (string, error) {
	var text strings.Builder
	for _, piece := range p {
		if piece.field == "" {
			text.WriteString(piece.text)
			continue
		}
		value, err := r.word(piece.field)
		if err != nil {
			return "", err
		}
		text.WriteString(value)
	}
	return text.String(), nil
}
