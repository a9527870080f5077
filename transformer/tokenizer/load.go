package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
)

// maxFileBytes bounds tokenizer files; the largest published ones have 33 MB.
const maxFileBytes = 1 << 28

// Load reads the tokenizer of a model directory: tokenizer.json, else
// tokenizer.model (SentencePiece), else a single tok*.bin (llama2.c). If they
// exist, special_tokens_map.json and tokenizer_config.json name BOS, EOS and
// padding, and the latter says whether BOS and EOS are added. Errors name the
// file; a directory without any tokenizer gives [fs.ErrNotExist].
func Load(dir fs.FS) (*Tokenizer, error) {
	name, parse, err := findFile(dir)
	if err != nil {
		return nil, err
	}
	data, err := readFile(dir, name)
	if err != nil {
		return nil, err
	}
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		data, err := readFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := t.configure(data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return t, nil
}

// findFile chooses the file to read and its reader.
func findFile(dir fs.FS) (string, func([]byte) (*Tokenizer, error), error) {
	for _, known := range []struct {
		glob  string
		parse func([]byte) (*Tokenizer, error)
	}{
		{"tokenizer.json", Parse},
		{"tokenizer.model", ParseSentencePiece},
		{"tok*.bin", ParseLlama2C},
	} {
		names, err := fs.Glob(dir, known.glob)
		if err != nil {
			return "", nil, err
		}
		if len(names) > 1 {
			return "", nil, fmt.Errorf("%w: %d files match %s, want one", ErrFormat, len(names), known.glob)
		}
		if len(names) == 1 {
			return names[0], known.parse, nil
		}
	}
	return "", nil, fmt.Errorf("tokenizer.json, tokenizer.model or tok*.bin: %w", fs.ErrNotExist)
}

func readFile(dir fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: %w: %d bytes are over the limit of %d", name, ErrFormat, info.Size(), maxFileBytes)
	}
	return fs.ReadFile(dir, name)
}
