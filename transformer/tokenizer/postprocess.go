package tokenizer

import (
	"encoding/json"
	"fmt"
)

// template is what surrounds a sequence when special tokens are asked for.
type template struct{ prefix, suffix []int32 }

// around returns the template that puts outer around t.
func (t template) around(outer template) template {
	return template{
		prefix: append(append([]int32{}, outer.prefix...), t.prefix...),
		suffix: append(append([]int32{}, t.suffix...), outer.suffix...),
	}
}

type templateJSON struct {
	Type          string                     `json:"type"`
	Single        []templatePiece            `json:"single"`
	Pair          json.RawMessage            `json:"pair"` // pairs of texts are not encoded here
	SpecialTokens map[string]templateSpecial `json:"special_tokens"`
}

type templatePiece struct {
	SpecialToken *templateRef `json:"SpecialToken"`
	Sequence     *templateRef `json:"Sequence"`
}

type templateRef struct {
	ID     string `json:"id"`
	TypeID int    `json:"type_id"`
}

type templateSpecial struct {
	ID     string   `json:"id"`
	IDs    []int32  `json:"ids"`
	Tokens []string `json:"tokens"`
}

// parsePostProcessor reads the post_processor section.
func parsePostProcessor(raw json.RawMessage, v *vocab, depth int) (template, error) {
	kind, err := componentType(raw, depth)
	if err != nil || kind == "" {
		return template{}, err
	}
	switch kind {
	case "ByteLevel":
		// It only trims offsets, which are not kept here.
		var c byteLevelJSON
		return template{}, decodeStrict(raw, &c)
	case "Sequence":
		var c struct {
			Type       string            `json:"type"`
			Processors []json.RawMessage `json:"processors"`
		}
		if err := decodeStrict(raw, &c); err != nil {
			return template{}, err
		}
		var all template
		for _, p := range c.Processors {
			next, err := parsePostProcessor(p, v, depth+1)
			if err != nil {
				return template{}, err
			}
			all = all.around(next)
		}
		return all, nil
	case "TemplateProcessing":
		var c templateJSON
		if err := decodeStrict(raw, &c); err != nil {
			return template{}, err
		}
		return c.template(v)
	}
	return template{}, fmt.Errorf("%w: type %q", ErrUnsupported, kind)
}

// template reads the pieces before and behind the one sequence.
func (c templateJSON) template(v *vocab) (template, error) {
	var t template
	sequences := 0
	for _, piece := range c.Single {
		switch {
		case piece.Sequence != nil && piece.SpecialToken == nil:
			if sequences++; sequences > 1 || piece.Sequence.ID != "A" {
				return t, fmt.Errorf("%w: a single template that is not one sequence A", ErrUnsupported)
			}
		case piece.SpecialToken != nil && piece.Sequence == nil:
			special, ok := c.SpecialTokens[piece.SpecialToken.ID]
			if !ok {
				return t, fmt.Errorf("%w: template token %q is not among its special_tokens", ErrFormat, piece.SpecialToken.ID)
			}
			for _, id := range special.IDs {
				if _, ok := v.piece(id); !ok {
					return t, fmt.Errorf("%w: template token %q has id %d, which the vocabulary lacks", ErrFormat, special.ID, id)
				}
			}
			if sequences == 0 {
				t.prefix = append(t.prefix, special.IDs...)
			} else {
				t.suffix = append(t.suffix, special.IDs...)
			}
		default:
			return t, fmt.Errorf("%w: a template piece must be a SpecialToken or a Sequence", ErrFormat)
		}
	}
	if sequences == 0 {
		return t, fmt.Errorf("%w: a single template without a sequence", ErrUnsupported)
	}
	return t, nil
}
