package jinja

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// kind is what a token is.
type kind uint8

const (
	text kind = iota // outside of tags
	beginVar
	endVar
	beginBlock
	endBlock
	name
	number
	str
	operator
	end
)

type token struct {
	kind kind
	text string // of a string, its value
	line int
}

// lexer takes a template apart.
type lexer struct {
	rest   string
	line   int
	atLine bool // what comes begins a line
	tokens []token
}

// maxSource bounds a template.
const maxSource = 1 << 18

func lex(source string) ([]token, error) {
	if len(source) > maxSource || !utf8.ValidString(source) {
		return nil, fmt.Errorf("%d bytes, want UTF-8 of at most %d: %w", len(source), maxSource, ErrTemplate)
	}
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	l := &lexer{rest: strings.TrimSuffix(source, "\n"), line: 1, atLine: true}
	for l.rest != "" {
		if err := l.piece(); err != nil {
			return nil, err
		}
	}
	l.add(end, "")
	return l.tokens, nil
}

func (l *lexer) add(k kind, text string) { l.tokens = append(l.tokens, token{k, text, l.line}) }

func (l *lexer) fail(format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %w", l.line, fmt.Sprintf(format, args...), ErrTemplate)
}

// skip moves on.
func (l *lexer) skip(n int) string {
	s := l.rest[:n]
	l.line += strings.Count(s, "\n")
	l.rest = l.rest[n:]
	return s
}

// piece reads the text before the next tag, and the tag.
func (l *lexer) piece() error {
	at := len(l.rest)
	for _, open := range []string{"{{", "{%", "{#"} {
		if i := strings.Index(l.rest, open); i >= 0 && i < at {
			at = i
		}
	}
	data, atLine := l.rest[:at], l.atLine
	if at == len(l.rest) {
		l.add(text, l.skip(at))
		return nil
	}
	tag, mark := l.rest[at:at+2], l.rest[at+2:]
	switch {
	case strings.HasPrefix(mark, "-"):
		data = strings.TrimRight(data, " \t\n\v\f\r")
	case tag != "{{" && !strings.HasPrefix(mark, "+"): // lstrip_blocks
		line := strings.LastIndexByte(data, '\n') + 1
		if (line > 0 || atLine) && strings.Trim(data[line:], " \t\v\f\r") == "" {
			data = data[:line]
		}
	}
	if data != "" {
		l.add(text, data)
	}
	l.skip(at + 2)
	if mark != "" && (mark[0] == '-' || mark[0] == '+' && tag != "{{") {
		l.skip(1)
	}
	switch tag {
	case "{#":
		i := strings.Index(l.rest, "#}")
		if i < 0 {
			return l.fail("a comment without end")
		}
		comment := l.skip(i + 2)
		l.after(strings.HasSuffix(comment, "-#}"), strings.HasSuffix(comment, "+#}"))
		return nil
	case "{{":
		l.add(beginVar, "")
		return l.inside("}}", endVar)
	}
	if rest := strings.TrimLeft(l.rest, " \t\n"); strings.HasPrefix(rest, "raw") {
		if inner := strings.TrimLeft(rest[3:], " \t\n"); strings.HasPrefix(inner, "%}") || strings.HasPrefix(inner, "-%}") {
			return l.raw(inner)
		}
	}
	l.add(beginBlock, "")
	return l.inside("%}", endBlock)
}

// after does what follows the end of a block or comment: trim_blocks, or with a minus
// all white space.
func (l *lexer) after(minus, plus bool) {
	l.atLine = false
	switch {
	case minus:
		l.skip(len(l.rest) - len(strings.TrimLeft(l.rest, " \t\n\v\f\r")))
	case !plus && strings.HasPrefix(l.rest, "\n"):
		l.skip(1)
		l.atLine = true
	}
}

// raw reads up to endraw.
func (l *lexer) raw(inner string) error {
	minus := inner[0] == '-'
	l.skip(len(l.rest) - len(inner) + strings.Index(inner, "%}") + 2)
	l.after(minus, false)
	for i := 0; ; {
		j := strings.Index(l.rest[i:], "{%")
		if j < 0 {
			return l.fail("raw without endraw")
		}
		i += j
		tag := strings.TrimLeft(strings.TrimPrefix(l.rest[i+2:], "-"), " \t\n")
		close := strings.TrimLeft(strings.TrimPrefix(tag, "endraw"), " \t\n")
		if !strings.HasPrefix(tag, "endraw") || !strings.HasPrefix(close, "%}") && !strings.HasPrefix(close, "-%}") {
			i += 2
			continue
		}
		data := l.rest[:i]
		if l.rest[i+2] == '-' {
			data = strings.TrimRight(data, " \t\n\v\f\r")
		}
		l.add(text, data)
		l.skip(len(l.rest) - len(close) + strings.Index(close, "%}") + 2)
		l.after(close[0] == '-', false)
		return nil
	}
}

// operators, longest first.
var operators = []string{"==", "!=", "<=", ">=", "//", "**", "<", ">", "=", "+", "-", "*", "/", "%", "~", "|", ".", ",", ":", "(", ")", "[", "]", "{", "}"}

// inside reads the tokens of a tag up to its end.
func (l *lexer) inside(closing string, k kind) error {
	depth := 0 // of braces: }} may close two dicts
	for {
		l.skip(len(l.rest) - len(strings.TrimLeft(l.rest, " \t\n\v\f")))
		switch {
		case l.rest == "":
			return l.fail("a tag without end")
		case depth == 0 && strings.HasPrefix(l.rest, closing):
			l.add(k, "")
			l.skip(2)
			if k == endBlock {
				l.after(false, false)
			} else {
				l.atLine = false
			}
			return nil
		case strings.HasPrefix(l.rest, "-"+closing), k == endBlock && strings.HasPrefix(l.rest, "+"+closing):
			minus := l.rest[0] == '-'
			l.add(k, "")
			l.skip(3)
			l.after(minus, !minus)
			if k == endVar && !minus {
				l.atLine = false
			}
			return nil
		}
		if err := l.token(&depth); err != nil {
			return err
		}
	}
}

func (l *lexer) token(depth *int) error {
	c := l.rest[0]
	switch {
	case c == '"' || c == '\'':
		return l.string(c)
	case c == '_' || c|32 >= 'a' && c|32 <= 'z':
		n := 1
		for n < len(l.rest) && (l.rest[n] == '_' || isDigit(l.rest[n]) || l.rest[n]|32 >= 'a' && l.rest[n]|32 <= 'z') {
			n++
		}
		l.add(name, l.skip(n))
		return nil
	case isDigit(c):
		n := 1
		for n < len(l.rest) && (isDigit(l.rest[n]) || l.rest[n] == '_' || l.rest[n] == '.' && n+1 < len(l.rest) && isDigit(l.rest[n+1])) {
			n++
		}
		l.add(number, strings.ReplaceAll(l.skip(n), "_", ""))
		return nil
	}
	for _, op := range operators {
		if strings.HasPrefix(l.rest, op) {
			switch op {
			case "{", "(", "[":
				*depth++
			case "}", ")", "]":
				*depth--
			}
			l.add(operator, l.skip(len(op)))
			return nil
		}
	}
	return l.fail("unexpected %q", c)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// escapes are Python's, but for those of code points.
var escapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': "\"", 'b': "\b", 'f': "\f", 'v': "\v", 'a': "\a", '0': "\x00", '\n': ""}

// string reads a literal.
func (l *lexer) string(quote byte) error {
	var b strings.Builder
	for i := 1; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == quote:
			l.skip(i + 1)
			l.add(str, b.String())
			return nil
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(l.rest):
			i++
			switch c := l.rest[i]; c {
			case 'x', 'u', 'U':
				n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
				var r rune
				if i+n >= len(l.rest) {
					return l.fail("a string without end")
				}
				if _, err := fmt.Sscanf(l.rest[i+1:i+1+n], "%x", &r); err != nil {
					return l.fail("\\%c without %d hexadecimal digits", c, n)
				}
				b.WriteRune(r)
				i += n
			default:
				if e, ok := escapes[c]; ok {
					b.WriteString(e)
				} else {
					b.WriteByte('\\')
					b.WriteByte(c)
				}
			}
		}
	}
	return l.fail("a string without end")
}
