package data

import (
	"fmt"
	"slices"
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
	return endWithEOS(t, ids), nil
}

func endWithEOS(t Encoder, ids []int32) []int32 {
	if eos, ok := t.EOS(); ok && (len(ids) == 0 || ids[len(ids)-1] != eos) {
		return append(ids, eos)
	}
	return ids
}

// anchors are texts that tokenizers don't merge with what follows them.
var anchors = []string{"\n", ":", "."}

// encodeCompletion returns the ids of a prompt, which are those that generation
// starts from, and the ids that continue them, ending with EOS. Where the tokens of
// prompt+completion don't begin with those of the prompt, because a token spans the
// two, the completion is encoded on its own: behind an anchor, so that a tokenizer
// that begins texts with a space doesn't add one here.
func encodeCompletion(t Encoder, prompt, completion string) (p, c []int32, err error) {
	if p, err = EncodePrompt(t, prompt); err != nil {
		return nil, nil, err
	}
	all, err := EncodePrompt(t, prompt+completion)
	if err != nil {
		return nil, nil, err
	}
	if rest, ok := cutPrefix(all, p); ok {
		return p, endWithEOS(t, rest), nil
	}
	for _, anchor := range anchors {
		before, err := t.Encode(anchor, false)
		if err != nil {
			return nil, nil, err
		}
		both, err := t.Encode(anchor+completion, false)
		if err != nil {
			return nil, nil, err
		}
		if rest, ok := cutPrefix(both, before); ok {
			return p, endWithEOS(t, rest), nil
		}
	}
	rest, err := t.Encode(completion, false)
	return p, endWithEOS(t, rest), err
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
