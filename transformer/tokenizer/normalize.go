package tokenizer

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites the text between added tokens.
type normalizer interface {
	normalize(s string) (string, error)
}

type normalizerSequence []normalizer

func (seq normalizerSequence) normalize(s string) (string, error) {
	for _, n := range seq {
		var err error
		if s, err = n.normalize(s); err != nil {
			return "", err
		}
	}
	return s, nil
}

// prepend puts a prefix before every text that is not empty.
type prepend string

func (p prepend) normalize(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return string(p) + s, nil
}

// replace puts content in the place of every match.
type replace struct {
	pattern pattern
	content string
}

func (r replace) normalize(s string) (string, error) {
	matches, err := r.pattern.find(nil, s)
	if err != nil || len(matches) == 0 {
		return s, err
	}
	size := len(s) + len(matches)*len(r.content)
	if size > maxTextBytes {
		return "", fmt.Errorf("%w: replacing makes it longer than %d bytes", ErrEncode, maxTextBytes)
	}
	var b strings.Builder
	b.Grow(size)
	done := 0
	for _, m := range matches {
		b.WriteString(s[done:m.start])
		b.WriteString(r.content)
		done = m.end
	}
	b.WriteString(s[done:])
	return b.String(), nil
}

// strip removes whitespace at the ends.
type strip struct{ left, right bool }

func (n strip) normalize(s string) (string, error) {
	if n.left {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
	}
	if n.right {
		s = strings.TrimRightFunc(s, unicode.IsSpace)
	}
	return s, nil
}

// unicodeForm is NFC, NFD, NFKC or NFKD (Unicode Annex 15).
type unicodeForm norm.Form

func (f unicodeForm) normalize(s string) (string, error) {
	return norm.Form(f).String(s), nil
}

// lowercase maps every rune on its own, with the full mappings of Unicode. Only
// İ differs from the simple mapping that Go has.
type lowercase struct{}

func (lowercase) normalize(s string) (string, error) {
	return strings.ToLower(strings.ReplaceAll(s, "İ", "i\u0307")), nil
}
