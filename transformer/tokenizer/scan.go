package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// scanRule is a split pattern of a known family, as code. Its alternatives, in
// order: a contraction; letters with at most one leading rune; digits;
// punctuation with at most one leading space; whitespace. They cover every text
// without a gap.
type scanRule struct {
	// foldCase matches contractions in any case.
	foldCase bool
	// anyLead lets one rune that is no letter, digit or line break lead letters
	// and nothing lead digits. Otherwise one space may lead either.
	anyLead bool
	// maxDigits bounds a group of digits; 0 means no bound.
	maxDigits int
	// lines keeps line breaks behind punctuation with it, and cuts whitespace
	// behind its last line break.
	lines bool
}

// knownScans maps the expressions, as published, to their rules.
var knownScans = map[string]pattern{
	gpt2Split: gpt2Scan,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: scanRule{foldCase: true, anyLead: true, maxDigits: 3, lines: true},
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      scanRule{foldCase: true, anyLead: true, maxDigits: 1, lines: true},
}

// gpt2Split is the expression that ByteLevel splits with.
const gpt2Split = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

var gpt2Scan = scanRule{}

func (s scanRule) find(dst []span, text string) ([]span, error) {
	for at := 0; at < len(text); {
		n := s.next(text[at:])
		dst = append(dst, span{at, at + n})
		at += n
	}
	return dst, nil
}

// next measures the first match in text, which is not empty.
func (s scanRule) next(text string) int {
	if n := s.contraction(text); n > 0 {
		return n
	}
	first, size := classify(text)
	second := classEnd
	if size < len(text) {
		second, _ = classify(text[size:])
	}
	lead := 0
	if text[0] == ' ' {
		lead = 1
	}
	switch {
	case first == classLetter:
		return runOf(text, 0, classLetter)
	case second == classLetter && s.leads(text, first):
		return runOf(text, size, classLetter)
	case first == classDigit:
		return s.digits(text, 0)
	case second == classDigit && lead == 1 && !s.anyLead:
		return s.digits(text, 1)
	case first == classOther || lead == 1 && second == classOther:
		return s.punctuation(text, lead)
	default:
		return s.space(text)
	}
}

// leads tells whether the first rune of text may go with letters behind it.
func (s scanRule) leads(text string, class runeKind) bool {
	if !s.anyLead {
		return text[0] == ' '
	}
	return class != classDigit && text[0] != '\r' && text[0] != '\n'
}

var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

func (s scanRule) contraction(text string) int {
	if text[0] != '\'' {
		return 0
	}
	for _, c := range contractions {
		if strings.HasPrefix(text, c) || s.foldCase && len(text) >= len(c) && strings.EqualFold(text[:len(c)], c) {
			return len(c)
		}
	}
	// The one letter outside ASCII that folds to one of a contraction.
	const longS = "'ſ"
	if s.foldCase && strings.HasPrefix(text, longS) {
		return len(longS)
	}
	return 0
}

func (s scanRule) digits(text string, from int) int {
	if s.maxDigits == 0 {
		return runOf(text, from, classDigit)
	}
	for range s.maxDigits {
		if from == len(text) {
			break
		}
		class, size := classify(text[from:])
		if class != classDigit {
			break
		}
		from += size
	}
	return from
}

func (s scanRule) punctuation(text string, from int) int {
	end := runOf(text, from, classOther)
	for s.lines && end < len(text) && (text[end] == '\r' || text[end] == '\n') {
		end++
	}
	return end
}

// space measures the whitespace at the start of text: up to its last line break
// under the lines rule, else all but its last rune, which goes with the word
// behind it.
func (s scanRule) space(text string) int {
	end, last := 0, 0 // last: where the final whitespace rune begins
	for end < len(text) {
		class, size := classify(text[end:])
		if class != classSpace {
			break
		}
		last = end
		end += size
	}
	if s.lines {
		if i := strings.LastIndexAny(text[:end], "\r\n"); i >= 0 {
			return i + 1
		}
	}
	if end == len(text) || last == 0 {
		return end
	}
	return last
}

// runeKind is the class of a rune in the split patterns.
type runeKind uint8

const (
	classEnd    runeKind = iota
	classLetter          // \p{L}
	classDigit           // \p{N}
	classSpace           // \s
	classOther
)

// classify returns the class and size of the first rune of text.
func classify(text string) (runeKind, int) {
	if c := text[0]; c < utf8.RuneSelf {
		return asciiKind[c], 1
	}
	r, n := utf8.DecodeRuneInString(text)
	return kindOf(r), n
}

func kindOf(r rune) runeKind {
	switch {
	case isLetter(r):
		return classLetter
	case isNumber(r):
		return classDigit
	case unicode.IsSpace(r):
		return classSpace
	default:
		return classOther
	}
}

var asciiKind = func() (table [utf8.RuneSelf]runeKind) {
	for r := range table {
		table[r] = kindOf(rune(r))
	}
	return table
}()

// runOf measures text up to the end of the run of a class that begins at from.
func runOf(text string, from int, class runeKind) int {
	for from < len(text) {
		c, size := classify(text[from:])
		if c != class {
			break
		}
		from += size
	}
	return from
}
