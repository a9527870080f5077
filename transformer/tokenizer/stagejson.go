package tokenizer

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

var unicodeForms = map[string]unicodeForm{
	"NFC":  unicodeForm(norm.NFC),
	"NFD":  unicodeForm(norm.NFD),
	"NFKC": unicodeForm(norm.NFKC),
	"NFKD": unicodeForm(norm.NFKD),
}

type typeJSON struct {
	Type string `json:"type"`
}

// parseNormalizer reads the normalizer section; nil stands for none.
func parseNormalizer(raw json.RawMessage, depth int) (normalizer, error) {
	kind, err := componentType(raw, depth)
	if err != nil || kind == "" {
		return nil, err
	}
	switch kind {
	case "Sequence":
		return parseNormalizers(raw, depth)
	case "Prepend":
		var c struct {
			Type    string `json:"type"`
			Prepend string `json:"prepend"`
		}
		err := decodeStrict(raw, &c)
		return prepend(c.Prepend), err
	case "Replace":
		return parseReplace(raw)
	case "Strip":
		var c struct {
			Type  string `json:"type"`
			Left  bool   `json:"strip_left"`
			Right bool   `json:"strip_right"`
		}
		err := decodeStrict(raw, &c)
		return strip{left: c.Left, right: c.Right}, err
	case "Lowercase":
		return lowercase{}, decodeStrict(raw, &typeJSON{})
	case "NFC", "NFD", "NFKC", "NFKD":
		return unicodeForms[kind], decodeStrict(raw, &typeJSON{})
	}
	return nil, fmt.Errorf("%w: type %q", ErrUnsupported, kind)
}

func parseNormalizers(raw json.RawMessage, depth int) (normalizer, error) {
	var c struct {
		Type        string            `json:"type"`
		Normalizers []json.RawMessage `json:"normalizers"`
	}
	if err := decodeStrict(raw, &c); err != nil {
		return nil, err
	}
	var seq normalizerSequence
	for _, r := range c.Normalizers {
		n, err := parseNormalizer(r, depth+1)
		if err != nil {
			return nil, err
		}
		if n != nil {
			seq = append(seq, n)
		}
	}
	return seq, nil
}

func parseReplace(raw json.RawMessage) (replace, error) {
	var c struct {
		Type    string      `json:"type"`
		Pattern patternJSON `json:"pattern"`
		Content string      `json:"content"`
	}
	if err := decodeStrict(raw, &c); err != nil {
		return replace{}, err
	}
	p, err := c.Pattern.compile()
	return replace{pattern: p, content: c.Content}, err
}

type byteLevelJSON struct {
	Type           string `json:"type"`
	AddPrefixSpace *bool  `json:"add_prefix_space"`
	TrimOffsets    *bool  `json:"trim_offsets"` // offsets are not kept here
	UseRegex       *bool  `json:"use_regex"`
}

type metaspaceJSON struct {
	Type           string         `json:"type"`
	Replacement    string         `json:"replacement"`
	StrRep         string         `json:"str_rep"` // written by old versions, never read
	AddPrefixSpace *bool          `json:"add_prefix_space"`
	PrependScheme  *prependScheme `json:"prepend_scheme"`
	Split          *bool          `json:"split"`
}

// orTrue is the value of an option whose default is true.
func orTrue(b *bool) bool { return b == nil || *b }

// parseMetaspace reads a Metaspace stage, which pre-tokenizers and decoders
// share. Files before 2024 have add_prefix_space in the place of prepend_scheme.
func parseMetaspace(raw json.RawMessage) (metaspaceSplit, error) {
	var c metaspaceJSON
	if err := decodeStrict(raw, &c); err != nil {
		return metaspaceSplit{}, err
	}
	if utf8.RuneCountInString(c.Replacement) != 1 {
		return metaspaceSplit{}, fmt.Errorf("%w: replacement %q is not one character", ErrFormat, c.Replacement)
	}
	p := metaspaceSplit{mark: c.Replacement, where: prependAlways, cut: orTrue(c.Split)}
	switch {
	case c.PrependScheme != nil:
		p.where = *c.PrependScheme
		if p.where != prependAlways && p.where != prependFirst && p.where != prependNever {
			return p, fmt.Errorf("%w: prepend_scheme %q", ErrUnsupported, p.where)
		}
		if !orTrue(c.AddPrefixSpace) && p.where != prependNever {
			return p, fmt.Errorf("%w: add_prefix_space false contradicts prepend_scheme %q", ErrFormat, p.where)
		}
	case !orTrue(c.AddPrefixSpace):
		p.where = prependNever
	}
	return p, nil
}

// parsePreTokenizer reads the pre_tokenizer section; nil stands for none.
func parsePreTokenizer(raw json.RawMessage, depth int) (preTokenizer, error) {
	kind, err := componentType(raw, depth)
	if err != nil || kind == "" {
		return nil, err
	}
	switch kind {
	case "Sequence":
		return parsePreTokenizers(raw, depth)
	case "Split":
		return parseSplit(raw)
	case "ByteLevel":
		var c byteLevelJSON
		err := decodeStrict(raw, &c)
		return byteLevel{addPrefixSpace: orTrue(c.AddPrefixSpace), useRegex: orTrue(c.UseRegex)}, err
	case "Digits":
		var c struct {
			Type       string `json:"type"`
			Individual bool   `json:"individual_digits"`
		}
		err := decodeStrict(raw, &c)
		return isolateDigits(c.Individual), err
	case "Metaspace":
		return parseMetaspace(raw)
	}
	return nil, fmt.Errorf("%w: type %q", ErrUnsupported, kind)
}

func parsePreTokenizers(raw json.RawMessage, depth int) (preTokenizer, error) {
	var c struct {
		Type          string            `json:"type"`
		PreTokenizers []json.RawMessage `json:"pretokenizers"`
	}
	if err := decodeStrict(raw, &c); err != nil {
		return nil, err
	}
	var seq preTokenizerSequence
	for _, r := range c.PreTokenizers {
		p, err := parsePreTokenizer(r, depth+1)
		if err != nil {
			return nil, err
		}
		if p != nil {
			seq = append(seq, p)
		}
	}
	return seq, nil
}

func parseSplit(raw json.RawMessage) (preTokenizer, error) {
	var c struct {
		Type     string      `json:"type"`
		Pattern  patternJSON `json:"pattern"`
		Behavior string      `json:"behavior"`
		Invert   bool        `json:"invert"`
	}
	if err := decodeStrict(raw, &c); err != nil {
		return nil, err
	}
	p, err := c.Pattern.compile()
	if err != nil {
		return nil, err
	}
	b, ok := behaviors[c.Behavior]
	if !ok {
		return nil, fmt.Errorf("%w: split behavior %q", ErrUnsupported, c.Behavior)
	}
	return patternSplit{pattern: p, invert: c.Invert, behavior: b}, nil
}

// checkFirst refuses Metaspace's prepend_scheme "first" behind a normalizer that
// can move the start of the text: the reference then decides by alignments to
// the original text, which are not kept here.
func checkFirst(n normalizer, p preTokenizer) error {
	if !usesFirst(p) || keepsStart(n) {
		return nil
	}
	return fmt.Errorf(`%w: Metaspace prepend_scheme "first" behind a normalizer that moves the start of the text`, ErrUnsupported)
}

func usesFirst(p preTokenizer) bool {
	switch p := p.(type) {
	case metaspaceSplit:
		return p.where == prependFirst
	case preTokenizerSequence:
		for _, inner := range p {
			if usesFirst(inner) {
				return true
			}
		}
	}
	return false
}

func keepsStart(n normalizer) bool {
	switch n := n.(type) {
	case nil, unicodeForm, lowercase:
		return true
	case replace:
		old, ok := n.pattern.(literal)
		return ok && utf8.RuneCountInString(string(old)) == 1 && n.content != ""
	case normalizerSequence:
		for _, inner := range n {
			if !keepsStart(inner) {
				return false
			}
		}
		return true
	}
	return false
}
