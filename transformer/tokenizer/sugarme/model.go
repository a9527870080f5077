package sugarme

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gpupeft/gpupeft/transformer/tokenizer"
	sugar "github.com/sugarme/tokenizer"
)

// Model is the library's Model interface over the merges of a tokenizer. It is
// safe for concurrent use.
type Model struct {
	tk  *tokenizer.Tokenizer
	unk map[int]bool // ids that stand for unknown characters
}

var _ sugar.Model = (*Model)(nil)

// NewModel returns the model of tk. unk names its unknown token, if it has one;
// offsets need it, because its piece is not the text it stands for.
func NewModel(tk *tokenizer.Tokenizer, unk ...string) *Model {
	m := &Model{tk: tk, unk: map[int]bool{}}
	for _, name := range unk {
		if id, ok := tk.ID(name); ok {
			m.unk[int(id)] = true
		}
	}
	return m
}

// Tokenize returns the tokens of one word: text that a normalizer and a
// pre-tokenizer have been through. Offsets are bytes in sequence.
func (m *Model) Tokenize(sequence string) ([]sugar.Token, error) {
	ids, err := m.tk.EncodeWord(sequence)
	if err != nil {
		return nil, fmt.Errorf("tokenize: %w", err)
	}
	tokens := make([]sugar.Token, len(ids))
	at := 0
	for i, id := range ids {
		again := i+1 < len(ids) && m.unk[int(ids[i+1])]
		end := at + m.covered(sequence[at:], int(id), again)
		tokens[i] = sugar.NewToken(int(id), m.tk.Piece(id), []int{at, end})
		at = end
	}
	return tokens, nil
}

// covered measures the start of text that a token stands for: the piece itself,
// else one byte, or for an unknown token the characters that are no entries, but
// only one of them if another unknown token follows.
func (m *Model) covered(text string, id int, unkFollows bool) int {
	piece := m.tk.Piece(int32(id))
	if len(piece) <= len(text) && text[:len(piece)] == piece {
		return len(piece)
	}
	if !m.unk[id] {
		return min(1, len(text))
	}
	n := 0
	for n < len(text) {
		_, size := utf8.DecodeRuneInString(text[n:])
		if _, known := m.tk.ID(text[n : n+size]); known {
			break
		}
		n += size
		if unkFollows {
			break
		}
	}
	return n
}

// TokenToId returns the id of a vocabulary entry or added token.
func (m *Model) TokenToId(token string) (int, bool) {
	id, ok := m.tk.ID(token)
	return int(id), ok
}

// IdToToken returns the vocabulary entry or added token of id.
func (m *Model) IdToToken(id int) (string, bool) {
	if id < 0 || id >= m.tk.Size() {
		return "", false
	}
	piece := m.tk.Piece(int32(id))
	_, ok := m.tk.ID(piece)
	return piece, ok
}

// GetVocab returns all entries and added tokens with their ids, as a new map.
func (m *Model) GetVocab() map[string]int {
	vocab := make(map[string]int, m.tk.Size())
	for id := range m.tk.Size() {
		if piece, ok := m.IdToToken(id); ok {
			vocab[piece] = id
		}
	}
	return vocab
}

// GetVocabSize returns the number of entries and added tokens.
func (m *Model) GetVocabSize() int { return len(m.GetVocab()) }

// ErrSave says that a model cannot be written in the library's format.
var ErrSave = errors.New("saving is not supported: copy the file that the tokenizer was loaded from")

// Save always fails with [ErrSave].
func (m *Model) Save(string, ...string) error { return ErrSave }
