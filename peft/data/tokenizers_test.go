package data_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// TestCompletionTokenizers checks, for tokenizers of every kind, that rows begin with
// the tokens that generation would start from and decode to the text they were made
// of.
func TestCompletionTokenizers(t *testing.T) {
	files, err := filepath.Glob("../../testdata/tokenizers/*/tokenizer.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d tokenizers, %v", len(files), err)
	}
	pairs := [][2]string{{"Review: it was warm.\nVerdict:", " good"}, {"Q: why?\nA: ", "because"}, {"one ", " two"}, {"new line\n", "here"}, {"a", "b"}, {"", "alone"}}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			tok, err := tokenizer.Load(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			for _, pair := range pairs {
				line, err := json.Marshal(map[string]string{"prompt": pair[0], "completion": pair[1]})
				if err != nil {
					t.Fatal(err)
				}
				s := read(t, "a.jsonl", string(line), data.Options{Tokens: tok, Vocab: tok.Size(), MaxLength: 256})
				prompt, err := data.EncodePrompt(tok, pair[0])
				if err != nil {
					t.Fatal(err)
				}
				if got := all(t, s)[0].Prompt(); !slices.Equal(got, prompt) && len(prompt) > 0 {
					t.Errorf("%q: prompt %v, want %v", pair, got, prompt)
				}
				want := tok.Decode(mustEncode(t, tok, pair[0]+pair[1]), true)
				if got := tok.Decode(all(t, s)[0].IDs, true); got != want {
					t.Errorf("%q: row is %q, want %q", pair, got, want)
				}
			}
		})
	}
}

func mustEncode(t *testing.T, tok *tokenizer.Tokenizer, text string) []int32 {
	t.Helper()
	ids, err := tok.Encode(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
