package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// matcher finds added tokens, leftmost first and of those the longest. It is a
// byte trie whose first level is a table, because nearly every position of a
// text fails there.
type matcher struct {
	root   [256]int32
	edges  map[trieEdge]int32
	tokens []*addedToken // indexed by node; nil where no token ends
}

type trieEdge struct {
	node int32
	next byte
}

func newMatcher() *matcher {
	// Node 0 stands for "no transition", so it is never a real node.
	return &matcher{edges: map[trieEdge]int32{}, tokens: []*addedToken{nil}}
}

// add registers pattern; of two tokens with one pattern the first wins, as in
// the reference.
func (m *matcher) add(pattern string, tok addedToken) {
	node := m.child(&m.root[pattern[0]])
	for i := 1; i < len(pattern); i++ {
		edge := trieEdge{node, pattern[i]}
		next, ok := m.edges[edge]
		if !ok {
			m.child(&next)
			m.edges[edge] = next
		}
		node = next
	}
	if m.tokens[node] == nil {
		m.tokens[node] = &tok
	}
}

// empty says whether nothing was registered.
func (m *matcher) empty() bool { return len(m.tokens) == 1 }

func (m *matcher) child(slot *int32) int32 {
	if *slot == 0 {
		*slot = int32(len(m.tokens))
		m.tokens = append(m.tokens, nil)
	}
	return *slot
}

// longest returns the longest token at the start of s, or nil.
func (m *matcher) longest(s string) (tok *addedToken, size int) {
	node := m.root[s[0]]
	for i := 1; node != 0; i++ {
		if t := m.tokens[node]; t != nil {
			tok, size = t, i
		}
		if i == len(s) {
			break
		}
		node = m.edges[trieEdge{node, s[i]}]
	}
	return tok, size
}

// split cuts seg at the added tokens found in it and appends the parts to dst.
// Empty parts are left out.
func (m *matcher) split(dst []segment, seg segment) []segment {
	if len(m.tokens) == 1 {
		if seg.text == "" {
			return dst
		}
		return append(dst, seg)
	}
	s := seg.text
	done := 0 // everything before it has been emitted
	for pos := 0; pos < len(s); {
		tok, size := m.longest(s[pos:])
		if tok == nil {
			pos++
			continue
		}
		start, stop := pos, pos+size
		pos = stop
		if tok.SingleWord && !isWholeWord(s, start, stop) {
			continue
		}
		if tok.LStrip {
			start = max(done, start-spacesAtEnd(s[:start]))
		}
		if tok.RStrip {
			stop += spacesAtStart(s[stop:])
		}
		if done < start {
			dst = append(dst, seg.sub(done, start))
		}
		dst = append(dst, segment{text: s[start:stop], id: tok.ID})
		done = stop
	}
	if done < len(s) {
		dst = append(dst, seg.sub(done, len(s)))
	}
	return dst
}

func isWholeWord(s string, start, stop int) bool {
	before, n := utf8.DecodeLastRuneInString(s[:start])
	if n > 0 && isWordRune(before) {
		return false
	}
	after, n := utf8.DecodeRuneInString(s[stop:])
	return n == 0 || !isWordRune(after)
}

// isWordRune is \w of Unicode regular expressions (UTS 18, annex C): letters,
// marks, decimal digits, connectors and the two joiners.
func isWordRune(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}

func spacesAtEnd(s string) int {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeLastRuneInString(s[:len(s)-n])
		if !unicode.Is(unicode.White_Space, r) {
			break
		}
		n += size
	}
	return n
}

func spacesAtStart(s string) int {
	for i, r := range s {
		if !unicode.Is(unicode.White_Space, r) {
			return i
		}
	}
	return len(s)
}
