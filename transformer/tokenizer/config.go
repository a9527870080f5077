package tokenizer

import (
	"encoding/json"
	"fmt"
)

// Names that published tokenizers give their special tokens, most likely first.
var (
	bosNames = []string{"<s>", "<bos>", "<|begin_of_text|>"}
	eosNames = []string{"</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"}
	padNames = []string{"<pad>", "[PAD]"}
)

// guessSpecials sets BOS, EOS and Pad from the template and the usual names.
func (t *Tokenizer) guessSpecials() {
	t.bos, t.eos, t.pad = t.named(bosNames), t.named(eosNames), t.named(padNames)
	if p := t.template.prefix; len(p) > 0 {
		t.bos = p[0]
	}
	if s := t.template.suffix; len(s) > 0 {
		t.eos = s[len(s)-1]
	}
}

// named returns the first special token with one of the names.
func (t *Tokenizer) named(names []string) int32 {
	for _, name := range names {
		if id, ok := t.vocab.ids[name]; ok && t.IsSpecial(id) {
			return id
		}
	}
	return noID
}

// tokenName is a token in a configuration: its text, or an object that has it.
type tokenName string

// UnmarshalJSON implements [json.Unmarshaler].
func (n *tokenName) UnmarshalJSON(data []byte) error {
	var text *string
	if json.Unmarshal(data, &text) == nil {
		if text != nil {
			*n = tokenName(*text)
		}
		return nil
	}
	var object struct {
		Content string `json:"content"`
	}
	err := json.Unmarshal(data, &object)
	*n = tokenName(object.Content)
	return err
}

// configJSON is the part of tokenizer_config.json and special_tokens_map.json
// that concerns ids. Their other fields steer Python code.
type configJSON struct {
	BOS    tokenName `json:"bos_token"`
	EOS    tokenName `json:"eos_token"`
	Pad    tokenName `json:"pad_token"`
	AddBOS *bool     `json:"add_bos_token"`
	AddEOS *bool     `json:"add_eos_token"`
}

// configure applies a configuration file. add_bos_token and add_eos_token, where
// given, overrule the post-processor, as transformers does.
func (t *Tokenizer) configure(data []byte) error {
	var c configJSON
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	for _, set := range []struct {
		field string
		name  tokenName
		id    *int32
	}{
		{"bos_token", c.BOS, &t.bos},
		{"eos_token", c.EOS, &t.eos},
		{"pad_token", c.Pad, &t.pad},
	} {
		if set.name == "" {
			continue
		}
		id, ok := t.ID(string(set.name))
		if !ok {
			return fmt.Errorf("%w: %s %q is not in the vocabulary", ErrFormat, set.field, set.name)
		}
		*set.id = id
	}
	t.template.prefix = override(t.template.prefix, c.AddBOS, t.bos)
	t.template.suffix = override(t.template.suffix, c.AddEOS, t.eos)
	return nil
}

// override returns the ids at one end of a sequence under an add_..._token
// option, which may be absent.
func override(ids []int32, add *bool, id int32) []int32 {
	switch {
	case add == nil:
		return ids
	case *add && id != noID:
		return []int32{id}
	default:
		return nil
	}
}
