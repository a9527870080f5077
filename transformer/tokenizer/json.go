package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds nested Sequence stages.
const maxDepth = 8

type fileJSON struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// Parse reads the contents of a tokenizer.json. It fails with [ErrFormat] or
// [ErrUnsupported], naming the section at fault.
func Parse(tokenizerJSON []byte) (*Tokenizer, error) {
	if !utf8.Valid(tokenizerJSON) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrFormat)
	}
	var file fileJSON
	if err := decodeStrict(tokenizerJSON, &file); err != nil {
		return nil, err
	}
	if file.Version != "" && file.Version != "1.0" {
		return nil, fmt.Errorf("%w: version %q, want 1.0", ErrUnsupported, file.Version)
	}
	t, err := file.build()
	if err != nil {
		return nil, err
	}
	t.guessSpecials()
	return t, nil
}

func (f fileJSON) build() (*Tokenizer, error) {
	t := &Tokenizer{}
	var err error
	if t.model, err = parseModel(f.Model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	ids := make(map[string]int32, len(t.model.ids)+len(f.AddedTokens))
	for piece, id := range t.model.ids {
		ids[piece] = id
	}
	if t.vocab, err = newVocab(ids); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if t.norm, err = parseNormalizer(f.Normalizer, 0); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	if t.added, err = newAddedVocab(f.AddedTokens, t.vocab, len(t.model.ids), t.norm); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	if t.pre, err = parsePreTokenizer(f.PreTokenizer, 0); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if err = checkFirst(t.norm, t.pre); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if t.template, err = parsePostProcessor(f.PostProcessor, t.vocab, 0); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	if t.decoder, err = parseDecoder(f.Decoder); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	return t, nil
}

// decodeStrict decodes one JSON value and refuses fields that dst lacks: an
// option that is not read could change the ids.
func decodeStrict(data []byte, dst any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(dst)
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "unknown field"):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	default:
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: data behind the JSON value", ErrFormat)
	}
	return nil
}

// isNull tells whether a section is absent or null.
func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

// componentType returns the type field of a stage, or "" for an absent one.
func componentType(raw json.RawMessage, depth int) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	if depth > maxDepth {
		return "", fmt.Errorf("%w: stages nested over %d deep", ErrUnsupported, maxDepth)
	}
	var c struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if c.Type == "" {
		return "", fmt.Errorf("%w: a stage without a type", ErrFormat)
	}
	return c.Type, nil
}

// patternJSON is {"String": "..."} or {"Regex": "..."}.
type patternJSON struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

func (p patternJSON) compile() (pattern, error) {
	switch {
	case p.String != nil && p.Regex == nil:
		if *p.String == "" {
			return nil, fmt.Errorf("%w: empty pattern", ErrUnsupported)
		}
		return literal(*p.String), nil
	case p.Regex != nil && p.String == nil:
		return compile(*p.Regex)
	}
	return nil, fmt.Errorf("%w: a pattern must be a String or a Regex", ErrFormat)
}
