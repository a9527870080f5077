package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// textPiece is how many bytes of a plain text are tokenised at a time, up to the end
// of a line.
const textPiece = 4 << 20

// readText reads the rest of a plain text and cuts its tokens into blocks. The
// text has "\n" for line ends whatever the file has.
func (d *reader) readText(ctx context.Context, l *lines) error {
	d.set.Format = Text
	if d.Tokens == nil {
		return needsTokenizer(l.name)
	}
	t := textReader{reader: d}
	var text strings.Builder
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		text.Write(line)
		if l.ended {
			text.WriteByte('\n')
		}
		if l.ended && text.Len() >= textPiece {
			if err := t.piece(text.String()); err != nil {
				return fmt.Errorf("%s, up to line %d: %w", l.name, l.line, err)
			}
			text.Reset()
		}
	}
	err := t.piece(text.String())
	if err == nil {
		err = t.block(len(t.ids))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

// textReader cuts a stream of tokens into blocks.
type textReader struct {
	*reader
	ids    []int32 // that are in no block yet
	begun  bool
	blocks int
}

// piece takes in a part of the text; all but the last end with a line.
func (t *textReader) piece(text string) (err error) {
	var ids []int32
	if !t.begun {
		ids, err = EncodePrompt(t.Tokens, text)
	} else if text != "" {
		ids, err = encodeInside(t.Tokens, text)
	}
	if err == nil {
		err = checkTokens(ids, t.Vocab)
	}
	t.begun = true
	t.ids = append(t.ids, ids...)
	for err == nil && len(t.ids) > t.MaxLength { // one more than a block, which may be the last
		err = t.block(t.MaxLength)
	}
	return err
}

// block makes an example of the first n tokens, unless they have no target.
func (t *textReader) block(n int) error {
	block := t.ids[:n]
	t.ids = t.ids[n:]
	if t.blocks++; n < 2 {
		return nil
	}
	return t.set.add(Example{IDs: block, Labels: afterFirst(block), Row: t.blocks}, t.MaxLength)
}

func needsTokenizer(name string) error {
	return fmt.Errorf("%s holds text, and the model has none of tokenizer.json, tokenizer.model, tok*.bin: %w", name, ErrTokenizer)
}

// afterFirst returns labels that make every token a target but the first.
func afterFirst(ids []int32) []int32 {
	labels := slices.Clone(ids)
	labels[0] = transformer.Masked
	return labels
}
