package data

import (
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// Encoder is the part of a tokenizer that data needs; *tokenizer.Tokenizer
// implements it.
type Encoder interface {
	// Encode returns the ids of a text, and of what stands around a text if special
	// is set.
	Encode(text string, special bool) ([]int32, error)
	// EOS returns the id that ends a text.
	EOS() (int32, bool)
}

// EncodePrompt returns the ids of a text that is to be continued: with the tokens
// that begin a text, but without an EOS.
func EncodePrompt(t Encoder, text string) ([]int32, error) {
	around, err := t.Encode("", true)
	if err != nil {
		return nil, err
	}
	ids, err := t.Encode(text, true)
	if err != nil {
		return nil, err
	}
	if eos, ok := t.EOS(); ok && len(around) > 0 && around[len(around)-1] == eos {
		ids = ids[:len(ids)-1]
	}
	return ids, nil
}

// encodeText returns the ids of a whole text, ending with EOS.
func encodeText(t Encoder, text string) ([]int32, error) {
	ids, err := EncodePrompt(t, text)
	if err != nil {
		return nil, err
	}
	if eos, ok := t.EOS(); ok && (len(ids) == 0 || ids[len(ids)-1] != eos) {
		ids = append(ids, eos)
	}
	return ids, nil
}

// part is a piece of a text, which is a target or not.
type part struct {
	text   string
	target bool
}

// anchors are texts that tokenizers don't merge with what follows them.
var anchors = []string{"\n", ":", "."}

// encodeParts returns the tokens of a text in parts, and marks those of the targets:
// which token is a target follows from where it stands, never from what it is.
//
// The tokens before each part are exactly those that generation would start from.
// Where the tokens of the text up to its end don't begin with those, because one
// spans the border, the part is encoded on its own: behind an anchor, so that a
// tokenizer that begins texts with a space doesn't add one here. special puts the
// tokens in front that begin a text.
func encodeParts(t Encoder, parts []part, special bool) (e Example, err error) {
	encode := func(text string) ([]int32, error) { return t.Encode(text, false) }
	if special {
		encode = func(text string) ([]int32, error) { return EncodePrompt(t, text) }
	}
	if e.IDs, err = encode(""); err != nil {
		return e, err
	}
	e.Labels = slices.Repeat([]int32{transformer.Masked}, len(e.IDs))
	text := ""
	for _, p := range parts {
		if p.text == "" {
			continue
		}
		text += p.text
		all, err := encode(text)
		if err != nil {
			return e, err
		}
		rest, ok := cutPrefix(all, e.IDs)
		if !ok {
			if rest, err = encodeInside(t, p.text); err != nil {
				return e, err
			}
		}
		e.IDs = append(e.IDs, rest...)
		if p.target {
			e.Labels = append(e.Labels, rest...)
		} else {
			e.Labels = append(e.Labels, slices.Repeat([]int32{transformer.Masked}, len(rest))...)
		}
	}
	return e, nil
}

// encodeInside encodes a text that other text stands before.
func encodeInside(t Encoder, text string) ([]int32, error) {
	for _, anchor := range anchors {
		before, err := t.Encode(anchor, false)
		if err != nil {
			return nil, err
		}
		both, err := t.Encode(anchor+text, false)
		if err != nil {
			return nil, err
		}
		if rest, ok := cutPrefix(both, before); ok {
			return rest, nil
		}
	}
	return t.Encode(text, false)
}

// ended returns the example with EOS as its last target.
func (e Example) ended(t Encoder) Example {
	eos, ok := t.EOS()
	if last := len(e.IDs) - 1; ok && (last < 0 || e.IDs[last] != eos || e.Labels[last] != eos) {
		e.IDs, e.Labels = append(e.IDs, eos), append(e.Labels, eos)
	}
	return e
}

func cutPrefix(ids, prefix []int32) ([]int32, bool) {
	if len(ids) < len(prefix) || !slices.Equal(ids[:len(prefix)], prefix) {
		return nil, false
	}
	return slices.Clone(ids[len(prefix):]), true
}

// checkIDs makes sure that ids are in the vocabulary.
func checkIDs(ids []int32, vocab int) error {
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("id %d at position %d is outside the model's vocabulary of %d: %w", id, i, vocab, ErrFormat)
		}
	}
	return nil
}
