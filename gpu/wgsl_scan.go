package gpu

import (
	"fmt"
	"strings"
)

// The native compiler recurses over the text of a module, and runs out of stack,
// which ends the process, where the text is nested deeply enough. These bounds are
// far from that, and far above what kernels written by people or generators need.
const (
	maxNesting = 48      // brackets within brackets; measured: 990 pass and 4,000 end the process with 8 MiB of stack
	maxRun     = 1000    // tokens of one statement or argument, without brackets and what is in them
	maxSource  = 1 << 20 // bytes
)

// token is an identifier, a number or a single punctuation character of WGSL.
type token struct {
	text string
	line int
}

func (t token) isName() bool {
	c := t.text[0]
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// scan cuts WGSL into tokens, without comments. Operators of several characters
// come out as several tokens.
func scan(source string) ([]token, error) {
	var tokens []token
	line := 1
	for i := 0; i < len(source); {
		switch c := source[i]; {
		case c == '\n':
			line++
			i++
		case c <= ' ':
			i++
		case strings.HasPrefix(source[i:], "//"):
			if n := strings.IndexByte(source[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(source)
			}
		case strings.HasPrefix(source[i:], "/*"):
			n := commentLength(source[i:])
			if n == 0 {
				return nil, fmt.Errorf("line %d: comment without end", line)
			}
			line += strings.Count(source[i:i+n], "\n")
			i += n
		default:
			n := wordLength(source[i:])
			tokens = append(tokens, token{source[i : i+n], line})
			i += n
		}
	}
	return tokens, nil
}

// commentLength is the length of the block comment at the start of s, 0 if it does
// not end. Block comments nest.
func commentLength(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); {
		switch s[i : i+2] {
		case "/*":
			depth++
			i += 2
		case "*/":
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return 0
}

// wordLength is the length of the identifier or number at the start of s, 1 for
// anything else.
func wordLength(s string) int {
	n := 0
	for n < len(s) {
		c := s[n]
		word := c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
		decimal := c == '.' && s[0] >= '0' && s[0] <= '9'
		if !word && !decimal {
			break
		}
		n++
	}
	return max(n, 1)
}

// checkDepth refuses modules on which the native compiler could run out of stack.
func checkDepth(source string, tokens []token) error {
	if len(source) > maxSource {
		return fmt.Errorf("the source has %d bytes, at most %d are allowed", len(source), maxSource)
	}
	if i := strings.IndexByte(source, 0); i >= 0 {
		return fmt.Errorf("the source has a zero byte at offset %d", i)
	}
	runs := []int{0} // for each open bracket, the tokens since the last separator directly in it
	for i, t := range tokens {
		switch top := &runs[len(runs)-1]; t.text {
		case "(", "[", "{":
			runs = append(runs, 0)
		case ")", "]", "}":
			if len(runs) == 1 {
				return fmt.Errorf("line %d: %q closes nothing", t.line, t.text)
			}
			runs = runs[:len(runs)-1]
			// A block ends a statement, except where another branch of it follows.
			if t.text == "}" && (i+1 == len(tokens) || tokens[i+1].text != "else") {
				runs[len(runs)-1] = 0
			}
		case ",", ";":
			*top = 0
		default:
			*top++
		}
		if len(runs) > maxNesting || runs[len(runs)-1] > maxRun {
			return fmt.Errorf("line %d: nested too deeply, or an expression too long: split it", t.line)
		}
	}
	return nil
}
