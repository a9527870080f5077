package view

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest texts in characters: labels and names; titles and facts; explanations. What
// is longer is cut.
const (
	maxLabel = 40
	maxTitle = 200
	maxAbout = 4000
)

// Label is a token's string as it can be shown on one line: spaces are "·", bytes that
// aren't UTF-8 are written \xff, line ends, controls, format and bidirectional marks as
// in Go's strings, and nothing is written as "". Text of more than 40 characters ends in
// "…". The label of a label is the same label.
func Label(token string) string {
	if token == "" {
		return `""`
	}
	return strings.ReplaceAll(visible(token, maxLabel), " ", "·")
}

// visible writes out what can't be seen, and keeps at most limit characters.
func visible(s string, limit int) string {
	var b strings.Builder
	n := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		shown := s[:size]
		switch {
		case r == utf8.RuneError && size == 1:
			shown = `\x` + strconv.FormatInt(int64(s[0])|0x100, 16)[1:]
		case !unicode.IsPrint(r):
			shown = strings.Trim(strconv.QuoteRune(r), "'")
		}
		n += utf8.RuneCountInString(shown)
		if n > limit || n == limit && len(s) > size {
			return b.String() + "…"
		}
		b.WriteString(shown)
		s = s[size:]
	}
	return b.String()
}

// labels are the labels of tokens.
func labels(tokens []string) []string {
	shown := make([]string, len(tokens))
	for i, t := range tokens {
		shown[i] = Label(t)
	}
	return shown
}

// names are the names of rows and columns: as they are, but visible.
func names(s []string) []string {
	shown := make([]string, len(s))
	for i, t := range s {
		shown[i] = visible(t, maxLabel)
	}
	return shown
}
