package tokenizer

import (
	"strings"
	"unicode/utf8"
)

const replacement = "\uFFFD"

// validUTF8 replaces every maximal subpart of an ill-formed sequence by one
// U+FFFD (Unicode 16, section 3.9, "U+FFFD Substitution of Maximal Subparts").
// Go's own conversions replace every byte, or every run, instead.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			b.WriteString(replacement)
			n, _ = subpart(s)
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// subpart measures the longest prefix of s that begins a valid encoding, at
// least one byte. open tells that s ended before the encoding did, so that more
// bytes could complete it.
func subpart(s string) (n int, open bool) {
	lo, hi, size := byte(0x80), byte(0xBF), 0
	switch c := s[0]; {
	case c >= 0xC2 && c <= 0xDF:
		size = 2
	case c >= 0xE0 && c <= 0xEF:
		size = 3
		if c == 0xE0 {
			lo = 0xA0
		} else if c == 0xED {
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		size = 4
		if c == 0xF0 {
			lo = 0x90
		} else if c == 0xF4 {
			hi = 0x8F
		}
	default:
		return 1, false
	}
	for n = 1; n < size; n++ {
		if n == len(s) {
			return n, true
		}
		if s[n] < lo || s[n] > hi {
			return n, false
		}
		lo, hi = 0x80, 0xBF
	}
	return n, false
}

// splitOpen cuts an encoding that is still incomplete off the end of s.
func splitOpen(s string) (done, rest string) {
	for i := max(0, len(s)-3); i < len(s); i++ {
		if !utf8.RuneStart(s[i]) {
			continue
		}
		if n, open := subpart(s[i:]); open && i+n == len(s) {
			return s[:i], s[i:]
		}
	}
	return s, ""
}
