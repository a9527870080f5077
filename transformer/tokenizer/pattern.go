package tokenizer

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// span is a part of a string, in bytes.
type span struct{ start, end int }

// pattern finds its matches in text, in order and without overlap.
type pattern interface {
	find(dst []span, text string) ([]span, error)
}

// literal matches itself.
type literal string

func (l literal) find(dst []span, text string) ([]span, error) {
	for at := 0; ; {
		i := strings.Index(text[at:], string(l))
		if i < 0 {
			return dst, nil
		}
		dst = append(dst, span{at + i, at + i + len(l)})
		at += i + len(l)
	}
}

// runeClass matches every single rune of a class.
type runeClass func(r rune) bool

func (in runeClass) find(dst []span, text string) ([]span, error) {
	for i, r := range text {
		if in(r) {
			dst = append(dst, span{i, i + utf8.RuneLen(r)})
		}
	}
	return dst, nil
}

const (
	// maxExpressionBytes bounds a file's own expression: the engine's compiler is
	// recursive. The longest published one has 480 bytes.
	maxExpressionBytes = 4096
	// matchTimeout bounds one match of such an expression.
	matchTimeout = time.Second
	// Searching a text may take this long plus searchPerByte for its length;
	// ordinary patterns need less than a microsecond per byte.
	searchTimeout = time.Second
	searchPerByte = 20 * time.Microsecond
)

// expression is a regular expression with look-around, which a backtracking
// engine runs. The time limits bound what a hostile file can do.
type expression struct{ re *regexp2.Regexp }

// compile returns a scanner for the patterns of known model families and an
// expression for the rest.
func compile(source string) (pattern, error) {
	if rule, ok := knownScans[source]; ok {
		return rule, nil
	}
	if len(source) > maxExpressionBytes {
		return nil, fmt.Errorf("%w: regular expression of %d bytes, want at most %d", ErrUnsupported, len(source), maxExpressionBytes)
	}
	if err := checkSyntax(source); err != nil {
		return nil, err
	}
	// In the reference's syntax ^ and $ are always those of a line.
	re, err := regexp2.Compile(source, regexp2.Multiline)
	if err != nil {
		return nil, fmt.Errorf("%w: regular expression %q: %w", ErrUnsupported, source, err)
	}
	re.MatchTimeout = matchTimeout
	return expression{re}, nil
}

func (e expression) find(dst []span, text string) ([]span, error) {
	deadline := time.Now().Add(searchTimeout + time.Duration(len(text))*searchPerByte)
	m, err := e.re.FindStringMatch(text)
	var at cursor
	for ; m != nil && err == nil; m, err = e.re.FindNextMatch(m) {
		found := span{at.byteOffset(text, m.Index), at.byteOffset(text, m.Index+m.Length)}
		// An empty match right behind the last match does not count.
		if n := len(dst); found.start == found.end && n > 0 && dst[n-1].end == found.end {
			continue
		}
		dst = append(dst, found)
		if time.Now().After(deadline) {
			err = fmt.Errorf("time limit for %d bytes of text exceeded", len(text))
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: splitting with %q: %w", ErrEncode, e.re.String(), err)
	}
	return dst, nil
}

// cursor converts the engine's rune positions, which only grow, to bytes.
type cursor struct{ runes, bytes int }

func (c *cursor) byteOffset(text string, runes int) int {
	for c.runes < runes {
		_, n := utf8.DecodeRuneInString(text[c.bytes:])
		c.bytes += n
		c.runes++
	}
	return c.bytes
}
