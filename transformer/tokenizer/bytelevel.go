package tokenizer

import "strings"

// byteRunes spells every byte as one printable rune: printable Latin-1 stands
// for itself, the other bytes follow from U+0100 on, in order (GPT-2,
// encoder.py, bytes_to_unicode).
var byteRunes = func() (table [256]rune) {
	next := rune(0x100)
	for b := range table {
		r := rune(b)
		if r >= '!' && r <= '~' || r >= 0xA1 && r <= 0xAC || r >= 0xAE && r <= 0xFF {
			table[b] = r
			continue
		}
		table[b] = next
		next++
	}
	return table
}()

// runeBytes is the inverse of byteRunes.
var runeBytes = func() map[rune]byte {
	m := make(map[rune]byte, len(byteRunes))
	for b, r := range byteRunes {
		m[r] = byte(b)
	}
	return m
}()

// spellBytes writes the bytes of s as runes.
func spellBytes(s string) string {
	plain := 0
	for plain < len(s) && s[plain] >= '!' && s[plain] <= '~' {
		plain++
	}
	if plain == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/2 + 2)
	b.WriteString(s[:plain])
	for i := plain; i < len(s); i++ {
		b.WriteRune(byteRunes[s[i]])
	}
	return b.String()
}

// unspellBytes appends the bytes that piece spells; a piece with any other rune
// (an added token) stands for its own bytes.
func unspellBytes(dst []byte, piece string) []byte {
	start := len(dst)
	for _, r := range piece {
		b, ok := runeBytes[r]
		if !ok {
			return append(dst[:start], piece...)
		}
		dst = append(dst, b)
	}
	return dst
}

// byteLevel is the pre-tokenizer of GPT-2 and its descendants.
type byteLevel struct {
	addPrefixSpace bool
	useRegex       bool
}

func (p byteLevel) split(dst []segment, seg segment) ([]segment, error) {
	if p.addPrefixSpace && !strings.HasPrefix(seg.text, " ") {
		seg.text = " " + seg.text
	}
	if !p.useRegex {
		seg.text = spellBytes(seg.text)
		return append(dst, seg), nil
	}
	for at := 0; at < len(seg.text); {
		n := gpt2Scan.next(seg.text[at:])
		word := seg.sub(at, at+n)
		word.text = spellBytes(word.text)
		dst = append(dst, word)
		at += n
	}
	return dst, nil
}

// byteToken parses a byte entry such as "<0x0A>".
func byteToken(piece string) (byte, bool) {
	if len(piece) != 6 || !strings.HasPrefix(piece, "<0x") || piece[5] != '>' {
		return 0, false
	}
	// The reference parses the digits as a number, which may have a plus sign.
	if piece[3] == '+' {
		return hexDigit(piece[4])
	}
	hi, ok1 := hexDigit(piece[3])
	lo, ok2 := hexDigit(piece[4])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
