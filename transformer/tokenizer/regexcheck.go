package tokenizer

import (
	"fmt"
	"strings"
)

// checkSyntax refuses expressions that the engine would read otherwise than the
// reference's Oniguruma does, instead of splitting text in other places: \w and
// \b, which take fewer marks here; options other than i; and character classes
// with a class or an intersection in them.
func checkSyntax(source string) error {
	if strings.Contains(source, "{,") {
		return fmt.Errorf("%w: {,n} in regular expression %q", ErrUnsupported, source)
	}
	for i := 0; i < len(source); i++ {
		switch source[i] {
		case '\\':
			i++
			if i < len(source) && isWordEscape(source[i]) {
				return fmt.Errorf(`%w: \%c in regular expression %q`, ErrUnsupported, source[i], source)
			}
		case '(':
			if group := source[i:]; strings.HasPrefix(group, "(?") && !knownGroup(group[2:]) {
				return fmt.Errorf("%w: group %.6q in regular expression %q", ErrUnsupported, group, source)
			}
		case '[':
			n, ok := classLen(source[i:])
			if !ok {
				return fmt.Errorf("%w: character class %q in regular expression", ErrUnsupported, source[i:i+n])
			}
			i += n - 1
		}
	}
	return nil
}

func isWordEscape(c byte) bool { return strings.IndexByte("wWbB", c) >= 0 }

// knownGroup tells whether what follows "(?" means the same in both engines:
// plain, look-around and atomic groups, and the options i and -i.
func knownGroup(s string) bool {
	for _, prefix := range []string{":", "=", "!", "<=", "<!", ">", "i:", "-i:", "i)", "-i)"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// classLen measures the character class at the start of s and tells whether both
// engines agree on it.
func classLen(s string) (n int, ok bool) {
	i := 1
	if strings.HasPrefix(s[i:], "^") {
		i++
	}
	for first := true; i < len(s); first = false {
		switch c := s[i]; {
		case c == ']' && !first:
			return i + 1, true
		case c == '\\' && i+1 < len(s):
			i++
			if isWordEscape(s[i]) {
				return i + 1, false
			}
		case c == '[' || c == ']' || strings.HasPrefix(s[i:], "&&"):
			return i + 1, false
		}
		i++
	}
	return len(s), false
}
