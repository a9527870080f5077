package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// metaspace is the rune that stands for a space in SentencePiece vocabularies.
const metaspace = '▁'

// lowRunes is the size of the table for frequent runes; the rest are in a map.
const lowRunes = 0x3000

// bpe is a byte-pair-encoding model: characters are merged pair by pair, the
// lowest rank first and of equal ranks the leftmost.
type bpe struct {
	ids   map[string]int32 // the model's own entries, without added tokens
	low   [lowRunes]int32  // rune -> id, noID where the rune is no entry
	high  map[rune]int32   // runes from lowRunes
	bytes [256]int32       // byte -> id of "<0x..>", noID where there is none
	pairs pairTable

	unk          string // "" where the model names none
	hasUnk       bool
	unkID        int32 // noID where unk is outside the vocabulary
	fuseUnk      bool
	byteFallback bool
	ignoreMerges bool

	// cutSpaces tells that no merge joins another rune with a following "▁", so
	// that text may be cut before each run of them without changing the ids.
	cutSpaces bool
}

// mergePair is a merge by its two entries, in order of rank.
type mergePair struct {
	left, right string
	rank        uint32
}

// newBPE indexes ids and merges. The caller sets the option fields afterwards.
func newBPE(ids map[string]int32, merges []mergePair) (*bpe, error) {
	m := &bpe{ids: ids, high: map[rune]int32{}, unkID: noID, pairs: newPairTable(len(merges))}
	for i := range m.low {
		m.low[i] = noID
	}
	for piece, id := range ids {
		r, n := utf8.DecodeRuneInString(piece)
		if n == 0 || n != len(piece) {
			continue
		}
		if r < lowRunes {
			m.low[r] = id
		} else {
			m.high[r] = id
		}
	}
	for b := range m.bytes {
		m.bytes[b] = noID
		if id, ok := ids[fmt.Sprintf("<0x%02X>", b)]; ok {
			m.bytes[b] = id
		}
	}
	m.cutSpaces = m.low[metaspace] != noID
	for _, pair := range merges {
		if err := m.addMerge(pair); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *bpe) addMerge(pair mergePair) error {
	left, ok := m.ids[pair.left]
	if !ok {
		return fmt.Errorf("%w: merge %d: %q is not in the vocabulary", ErrFormat, pair.rank, pair.left)
	}
	right, ok := m.ids[pair.right]
	if !ok {
		return fmt.Errorf("%w: merge %d: %q is not in the vocabulary", ErrFormat, pair.rank, pair.right)
	}
	merged, ok := m.ids[pair.left+pair.right]
	if !ok {
		return fmt.Errorf("%w: merge %d: %q is not in the vocabulary", ErrFormat, pair.rank, pair.left+pair.right)
	}
	m.pairs.put(left, right, pair.rank, merged)
	if strings.HasPrefix(pair.right, string(metaspace)) && !strings.HasSuffix(pair.left, string(metaspace)) {
		m.cutSpaces = false
	}
	return nil
}

func (m *bpe) setUnk(token string) {
	m.unk, m.hasUnk = token, true
	if id, ok := m.ids[token]; ok {
		m.unkID = id
	}
}

func (m *bpe) runeID(r rune) int32 {
	if r < lowRunes {
		return m.low[r]
	}
	if id, ok := m.high[r]; ok {
		return id
	}
	return noID
}

// appendWord appends the ids of one word, in the pre-tokenizer's sense.
func (m *bpe) appendWord(ids []int32, word string, scratch *mergeScratch) ([]int32, error) {
	if m.ignoreMerges {
		if id, ok := m.ids[word]; ok {
			return append(ids, id), nil
		}
	}
	for word != "" {
		n := len(word)
		if m.cutSpaces {
			n = spacedWord(word)
		}
		var err error
		if scratch.ids, err = m.appendSymbols(scratch.ids[:0], word[:n]); err != nil {
			return nil, err
		}
		ids = append(ids, scratch.merge(&m.pairs)...)
		word = word[n:]
	}
	return ids, nil
}

// spacedWord measures a run of "▁" and what follows up to the next one.
func spacedWord(s string) int {
	const mark = string(metaspace)
	n := 0
	for strings.HasPrefix(s[n:], mark) {
		n += len(mark)
	}
	if next := strings.Index(s[n:], mark); next >= 0 {
		return n + next
	}
	return len(s)
}

// appendSymbols appends the ids that merging starts from: one per character, its
// bytes where the character is unknown and byte_fallback is on, else unk. A
// pending unk is written only when a known character or the end follows, also
// after byte fallback: that is the reference's order.
func (m *bpe) appendSymbols(ids []int32, word string) ([]int32, error) {
	pending := false
	for i, r := range word {
		if id := m.runeID(r); id != noID {
			if pending {
				ids = append(ids, m.unkID)
				pending = false
			}
			ids = append(ids, id)
			continue
		}
		if m.byteFallback {
			if next, ok := m.appendBytes(ids, word[i:i+utf8.RuneLen(r)]); ok {
				ids = next
				continue
			}
		}
		if !m.hasUnk {
			continue
		}
		if m.unkID == noID {
			return nil, fmt.Errorf("%w: %q is unknown and the unk_token %q is not in the vocabulary", ErrEncode, r, m.unk)
		}
		if pending && !m.fuseUnk {
			ids = append(ids, m.unkID)
		}
		pending = true
	}
	if pending {
		ids = append(ids, m.unkID)
	}
	return ids, nil
}

// appendBytes appends the byte entries of s, or nothing if one is missing.
func (m *bpe) appendBytes(ids []int32, s string) ([]int32, bool) {
	for i := 0; i < len(s); i++ {
		if m.bytes[s[i]] == noID {
			return ids, false
		}
	}
	for i := 0; i < len(s); i++ {
		ids = append(ids, m.bytes[s[i]])
	}
	return ids, true
}
