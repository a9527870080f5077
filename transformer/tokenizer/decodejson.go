package tokenizer

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// parseDecoder reads the decoder section. Nested sequences become one list.
func parseDecoder(raw json.RawMessage) ([]decodeStep, error) {
	if isNull(raw) {
		return []decodeStep{spacedStep{}}, nil
	}
	b := decoderBuilder{}
	err := b.parse(raw, 0)
	return b.steps, err
}

// decoderBuilder collects stages. Behind a stage that joins the pieces, others
// see the whole text as one piece; a stream hands them parts of it, which only
// some can work on.
type decoderBuilder struct {
	steps  []decodeStep
	joined bool // a stage before joins all pieces into one
}

// whole makes sure that the next stage gets the joined text in one piece.
func (b *decoderBuilder) whole() {
	if b.joined {
		b.steps = append(b.steps, fuseStep{hold: true})
	}
}

func (b *decoderBuilder) parse(raw json.RawMessage, depth int) error {
	kind, err := componentType(raw, depth)
	if err != nil || kind == "" {
		return err
	}
	switch kind {
	case "Sequence":
		return b.parseSequence(raw, depth)
	case "ByteLevel":
		var c byteLevelJSON
		err = decodeStrict(raw, &c)
		b.whole()
		b.steps = append(b.steps, byteLevelStep{})
		b.joined = true
	case "ByteFallback":
		err = decodeStrict(raw, &typeJSON{})
		b.whole()
		b.steps = append(b.steps, byteFallbackStep{})
	case "Fuse":
		err = decodeStrict(raw, &typeJSON{})
		b.steps = append(b.steps, fuseStep{})
		b.joined = true
	case "Replace":
		return b.parseReplace(raw)
	case "Strip":
		return b.parseStrip(raw)
	case "Metaspace":
		var m metaspaceSplit
		m, err = parseMetaspace(raw)
		b.whole()
		b.steps = append(b.steps, metaspaceStep{mark: m.mark, dropFirst: m.where != prependNever})
	default:
		return fmt.Errorf("%w: type %q", ErrUnsupported, kind)
	}
	return err
}

func (b *decoderBuilder) parseSequence(raw json.RawMessage, depth int) error {
	var c struct {
		Type     string            `json:"type"`
		Decoders []json.RawMessage `json:"decoders"`
	}
	if err := decodeStrict(raw, &c); err != nil {
		return err
	}
	for _, d := range c.Decoders {
		if err := b.parse(d, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (b *decoderBuilder) parseReplace(raw json.RawMessage) error {
	r, err := parseReplace(raw)
	if err != nil {
		return err
	}
	// A single character cannot lie across two parts of the text.
	if old, ok := r.pattern.(literal); !ok || utf8.RuneCountInString(string(old)) != 1 {
		b.whole()
	}
	b.steps = append(b.steps, replaceStep(r))
	return nil
}

func (b *decoderBuilder) parseStrip(raw json.RawMessage) error {
	var c struct {
		Type    string `json:"type"`
		Content string `json:"content"`
		Start   int    `json:"start"`
		Stop    int    `json:"stop"`
	}
	if err := decodeStrict(raw, &c); err != nil {
		return err
	}
	content, n := utf8.DecodeRuneInString(c.Content)
	if n == 0 || n != len(c.Content) || c.Start < 0 || c.Stop < 0 {
		return fmt.Errorf("%w: Strip needs one character and counts from 0", ErrFormat)
	}
	if b.joined && c.Stop == 0 {
		b.steps = append(b.steps, leadStep{content: content, count: c.Start})
		return nil
	}
	b.whole()
	b.steps = append(b.steps, mapStep(trim{content: content, start: c.Start, end: c.Stop}.apply))
	return nil
}
