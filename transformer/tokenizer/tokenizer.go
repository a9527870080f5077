package tokenizer

import (
	"errors"
	"fmt"
	"slices"
)

var (
	// ErrUnsupported marks a tokenizer file that is well formed but asks for
	// something this package does not implement.
	ErrUnsupported = errors.New("unsupported tokenizer feature")
	// ErrFormat marks a malformed or inconsistent tokenizer file.
	ErrFormat = errors.New("malformed tokenizer file")
	// ErrEncode marks text that the tokenizer cannot turn into ids.
	ErrEncode = errors.New("text cannot be encoded")
)

// maxTextBytes bounds one call of Encode: positions are kept as int32.
const maxTextBytes = 1 << 30

// noID stands for "no such token"; real ids are never negative.
const noID int32 = -1

// Tokenizer converts between text and token ids. It is immutable after loading
// and safe for concurrent use.
type Tokenizer struct {
	vocab    *vocab
	added    *addedVocab
	norm     normalizer   // nil: text is used as it is
	pre      preTokenizer // nil: the text is one word
	model    *bpe
	template template
	decoder  []decodeStep

	bos, eos, pad int32 // noID where the tokenizer has none
}

// Encode returns the ids of text. Added tokens that occur in the text ("</s>",
// "[INST]", ...) become their own ids whatever special says; special adds the
// tokens that surround a sequence, such as BOS, as the post-processor and the
// configuration ask.
//
// Invalid UTF-8 is replaced by U+FFFD first. It fails with [ErrEncode] on text
// over 1 GiB, on an unknown character where the file names an unk_token outside
// its vocabulary, and where a split pattern exceeds its time limit.
func (t *Tokenizer) Encode(text string, special bool) ([]int32, error) {
	if len(text) > maxTextBytes {
		return nil, fmt.Errorf("%w: %d bytes are over the limit of %d", ErrEncode, len(text), maxTextBytes)
	}
	ids := make([]int32, 0, len(text)/3+4)
	if special {
		ids = append(ids, t.template.prefix...)
	}
	ids, err := t.appendText(ids, validUTF8(text))
	if err != nil {
		return nil, err
	}
	if special {
		ids = append(ids, t.template.suffix...)
	}
	return ids, nil
}

// appendText runs the pipeline: added tokens, normalizer, added tokens that are
// matched in normalized text, pre-tokenizer, model.
func (t *Tokenizer) appendText(ids []int32, text string) ([]int32, error) {
	e := encoder{Tokenizer: t, ids: ids}
	for _, raw := range t.added.raw.split(nil, segment{text: text, id: noID, first: true}) {
		if raw.id != noID {
			e.ids = append(e.ids, raw.id)
			continue
		}
		if err := e.normalized(raw); err != nil {
			return nil, err
		}
	}
	return e.ids, nil
}

// encoder carries the buffers of one Encode call.
type encoder struct {
	*Tokenizer
	ids      []int32
	segments []segment
	words    []segment
	merge    mergeScratch
}

func (e *encoder) normalized(raw segment) error {
	if e.norm != nil {
		text, err := e.norm.normalize(raw.text)
		if err != nil {
			return err
		}
		raw.text = text
	}
	e.segments = e.added.normalized.split(e.segments[:0], raw)
	for _, seg := range e.segments {
		if seg.id != noID {
			e.ids = append(e.ids, seg.id)
			continue
		}
		if err := e.plain(seg); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) plain(seg segment) error {
	e.words = e.words[:0]
	if e.pre == nil {
		e.words = append(e.words, seg)
	} else {
		var err error
		if e.words, err = e.pre.split(e.words, seg); err != nil {
			return err
		}
	}
	for _, word := range e.words {
		var err error
		if e.ids, err = e.model.appendWord(e.ids, word.text, &e.merge); err != nil {
			return err
		}
	}
	return nil
}

// EncodeWord runs the model alone on one word: text that the normalizer and the
// pre-tokenizer have been through ("▁the", "Ġthe"). It is for programs that bring
// their own pipeline; others want Encode.
func (t *Tokenizer) EncodeWord(word string) ([]int32, error) {
	if len(word) > maxTextBytes {
		return nil, fmt.Errorf("%w: %d bytes are over the limit of %d", ErrEncode, len(word), maxTextBytes)
	}
	return t.model.appendWord(nil, validUTF8(word), &mergeScratch{})
}

// Surround returns the ids that Encode puts before and behind a text when asked
// for special tokens, such as BOS. The slices are copies.
func (t *Tokenizer) Surround() (before, behind []int32) {
	return slices.Clone(t.template.prefix), slices.Clone(t.template.suffix)
}

// Piece returns the vocabulary entry of id as the file spells it ("▁the",
// "<0x0A>", "Ġthe"), or "" for an unknown id.
func (t *Tokenizer) Piece(id int32) string {
	piece, _ := t.vocab.piece(id)
	return piece
}

// ID returns the id of a vocabulary entry or added token, spelled as the file
// spells it.
func (t *Tokenizer) ID(piece string) (int32, bool) {
	id, ok := t.vocab.ids[piece]
	return id, ok
}

// Size returns the largest id plus one: the rows an embedding matrix needs. Ids
// may have holes, for which Piece returns "".
func (t *Tokenizer) Size() int { return len(t.vocab.pieces) }

// BOS returns the id that begins a sequence. Without a configuration file it is
// the first token that the post-processor adds, else a special token with one of
// the usual names.
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos != noID }

// EOS returns the id that ends a sequence; see BOS for where it comes from.
func (t *Tokenizer) EOS() (int32, bool) { return t.eos, t.eos != noID }

// Pad returns the id that fills up a batch; see BOS for where it comes from.
func (t *Tokenizer) Pad() (int32, bool) { return t.pad, t.pad != noID }

// IsSpecial reports whether id is a special added token, one that Decode leaves
// out when asked to.
func (t *Tokenizer) IsSpecial(id int32) bool {
	_, ok := t.added.special[id]
	return ok
}
