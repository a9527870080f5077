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

// maxText bounds a plain text, which is tokenised as a whole.
const maxText = 1 << 30

// readText reads the rest of a plain text and cuts its tokens into blocks. The
// text has "\n" for line ends whatever the file has.
func readText(ctx context.Context, l *lines, o Options) (*Set, error) {
	if o.Tokens == nil {
		return nil, needsTokenizer(l.name)
	}
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
			return nil, err
		}
		text.Write(line)
		if l.ended {
			text.WriteByte('\n')
		}
		if text.Len() > maxText {
			return nil, fmt.Errorf("%s: more than %d MiB of plain text (split it into rows): %w", l.name, maxText>>20, ErrFormat)
		}
	}
	ids, err := EncodePrompt(o.Tokens, text.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	if err := checkIDs(ids, o.Vocab); err != nil {
		return nil, fmt.Errorf("%s: token %w", l.name, err)
	}
	return &Set{Name: l.name, Format: Text, Examples: blocks(ids, o.MaxLength)}, nil
}

func needsTokenizer(name string) error {
	return fmt.Errorf("%s holds text, and the model has none of tokenizer.json, tokenizer.model, tok*.bin: %w", name, ErrTokenizer)
}

// blocks cuts a stream into examples. What is left over makes a shorter one.
func blocks(ids []int32, length int) []Example {
	var list []Example
	for block := range slices.Chunk(ids, length) {
		if len(block) < 2 { // without a target
			break
		}
		list = append(list, Example{IDs: block, Labels: afterFirst(block)})
	}
	return list
}

// afterFirst returns labels that make every token a target but the first.
func afterFirst(ids []int32) []int32 {
	labels := slices.Clone(ids)
	labels[0] = transformer.Masked
	return labels
}
