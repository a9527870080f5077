package tokenizer

import (
	"fmt"
	"time"
)

// maxAddedBytes bounds the text of an added token: matching costs its length at
// every position of the input, in the worst case.
const maxAddedBytes = 4096

// maxAddedTime bounds the normalizing of added tokens, which a hostile regular
// expression can make slow.
const maxAddedTime = 5 * time.Second

// segment is a part of the text on its way through the pipeline.
type segment struct {
	text  string
	id    int32 // the added token found here, or noID for text to be encoded
	first bool  // starts where the whole text starts
}

// sub returns the part from start to end.
func (s segment) sub(start, end int) segment {
	return segment{text: s.text[start:end], id: noID, first: s.first && start == 0}
}

// addedToken is one entry of a file's added_tokens section.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// addedVocab finds added tokens in text before the model sees it: first those
// that are matched in the text as given, later those matched in normalized text.
type addedVocab struct {
	raw        *matcher
	normalized *matcher
	special    map[int32]struct{}
	// shown is how a token that is matched in normalized text is decoded: in its
	// normalized form, which the decoder can undo.
	shown map[int32]string
}

func emptyAddedVocab() *addedVocab {
	return &addedVocab{raw: newMatcher(), normalized: newMatcher(), special: map[int32]struct{}{}, shown: map[int32]string{}}
}

// newAddedVocab registers tokens in v and builds the matchers. Ids follow the
// reference: an entry of the model keeps its id, others are numbered in order.
func newAddedVocab(tokens []addedToken, v *vocab, modelSize int, norm normalizer) (*addedVocab, error) {
	a := emptyAddedVocab()
	seen := make(map[string]struct{}, len(tokens))
	next := int32(modelSize)
	for _, tok := range tokens {
		if tok.Content == "" || len(tok.Content) > maxAddedBytes {
			return nil, fmt.Errorf("%w: added token %d has %d bytes of content, want 1 to %d", ErrFormat, tok.ID, len(tok.Content), maxAddedBytes)
		}
		if _, dup := seen[tok.Content]; dup {
			return nil, fmt.Errorf("%w: added token %q is listed twice", ErrFormat, tok.Content)
		}
		seen[tok.Content] = struct{}{}
		id, known := v.ids[tok.Content]
		if !known {
			id = next
			if err := v.add(tok.Content, id); err != nil {
				return nil, err
			}
		}
		if id != tok.ID {
			return nil, fmt.Errorf("%w: added token %q says id %d, but the vocabulary gives it %d", ErrFormat, tok.Content, tok.ID, id)
		}
		next = max(next, id+1)
		if tok.Special {
			a.special[id] = struct{}{}
		}
	}
	// Special tokens go first: of two equal patterns the first one is matched.
	deadline := time.Now().Add(maxAddedTime)
	for _, special := range []bool{true, false} {
		for _, tok := range tokens {
			if tok.Special != special {
				continue
			}
			if err := a.register(tok, norm); err != nil {
				return nil, err
			}
			if time.Now().After(deadline) {
				return nil, fmt.Errorf("%w: normalizing takes over %v", ErrUnsupported, maxAddedTime)
			}
		}
	}
	return a, nil
}

func (a *addedVocab) register(tok addedToken, norm normalizer) error {
	if !tok.Normalized {
		a.raw.add(tok.Content, tok)
		return nil
	}
	pattern := tok.Content
	if norm != nil {
		var err error
		if pattern, err = norm.normalize(pattern); err != nil {
			return fmt.Errorf("added token %q: %w", tok.Content, err)
		}
	}
	if pattern == "" {
		return fmt.Errorf("%w: added token %q is empty once normalized", ErrFormat, tok.Content)
	}
	a.shown[tok.ID] = pattern
	a.normalized.add(pattern, tok)
	return nil
}
