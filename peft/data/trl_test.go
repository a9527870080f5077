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

// TestMasksEqualTRL holds the tokens and targets of prompt/completion rows against
// those of TRL's SFTTrainer (testdata/trl). Rows in which a token spans the border are
// left out: TRL drops the end of the prompt there, and warns.
func TestMasksEqualTRL(t *testing.T) {
	text, err := os.ReadFile("../../testdata/trl/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Rows  []json.RawMessage
		Masks map[string][]struct {
			IDs    []int32 `json:"input_ids"`
			Labels []int32
			Clean  bool
		}
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	for name, masks := range g.Masks {
		t.Run(name, func(t *testing.T) {
			tok, err := tokenizer.Load(os.DirFS(filepath.Join("../../testdata/tokenizers", name)))
			if err != nil {
				t.Fatal(err)
			}
			compared := 0
			for i, want := range masks {
				if !want.Clean {
					continue
				}
				s := read(t, "a.jsonl", string(g.Rows[i]), data.Options{Tokens: tok, Vocab: tok.Size(), MaxLength: 256})
				got := all(t, s)[0]
				if !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.Labels, want.Labels) {
					t.Errorf("%s:\n got  %v %v\n want %v %v", g.Rows[i], got.IDs, got.Labels, want.IDs, want.Labels)
				}
				compared++
			}
			if compared < 10 {
				t.Errorf("only %d of %d rows have a clean border", compared, len(masks))
			}
		})
	}
}
