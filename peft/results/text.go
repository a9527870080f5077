package results

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is the longest text of a page, in runes.
const maxText = 4000

// visible makes a text of a model or a data set safe to look at: what would not be
// seen, or would turn the direction of what follows, is spelled out, as ⟨U+202E⟩; bytes
// that are not UTF-8 become U+FFFD; a text that is too long ends with how much is left
// out. Line ends and tabs stay.
func visible(s string) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n++; n > maxText {
			fmt.Fprintf(&b, "… (%s more bytes)", thousands(int64(len(s)-i)))
			break
		}
		switch {
		case r == '\n' || r == '\t' || r == utf8.RuneError:
			b.WriteRune(r)
		case unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Co, unicode.Noncharacter_Code_Point), hidden(r):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hidden reports format characters other than the joiners that scripts and emoji need.
func hidden(r rune) bool {
	const nonJoiner, joiner = 0x200c, 0x200d
	return unicode.Is(unicode.Cf, r) && r != nonJoiner && r != joiner
}
