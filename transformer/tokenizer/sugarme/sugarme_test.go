package sugarme_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/transformer/tokenizer"
	"github.com/gpupeft/gpupeft/transformer/tokenizer/sugarme"
	sugar "github.com/sugarme/tokenizer"
)

const goldenDir = "../../../testdata/tokenizers"

func load(t *testing.T, name string) *tokenizer.Tokenizer {
	t.Helper()
	tk, err := tokenizer.Load(os.DirFS(filepath.Join(goldenDir, name)))
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

func readStrings(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(goldenDir, "strings.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	scan := bufio.NewScanner(z)
	for scan.Scan() {
		var s string
		if err := json.Unmarshal(scan.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func toInts(ids []int32) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

// TestFrameGivesOurIDs runs the test strings, added tokens in them included,
// through the library's tokenizer.
func TestFrameGivesOurIDs(t *testing.T) {
	texts := readStrings(t)
	for _, name := range []string{"llama2-legacy", "metaspace-first", "mistral-v3", "gemma", "llama3", "llama3-bos", "smollm2"} {
		tk := load(t, name)
		frame := sugarme.New(tk)
		for _, text := range texts {
			for _, special := range []bool{false, true} {
				want, err := tk.Encode(text, special)
				if err != nil {
					t.Fatal(err)
				}
				got, err := frame.EncodeSingle(text, special)
				if err != nil || !slices.Equal(got.Ids, toInts(want)) {
					t.Errorf("%s: EncodeSingle(%q, %v) = %v, %v, want %v", name, text, special, got, err, want)
					continue
				}
				if len(got.Offsets) != len(want) || len(got.AttentionMask) != len(want) || len(got.SpecialTokenMask) != len(want) || len(got.TypeIds) != len(want) {
					t.Errorf("%s: EncodeSingle(%q, %v): fields of different length: %+v", name, text, special, got)
				}
				if text, want := frame.Decode(got.Ids, true), tk.Decode(want, true); text != want {
					t.Errorf("%s: Decode(%v) = %q, want %q", name, got.Ids, text, want)
				}
			}
		}
	}
}

func TestPairsAndPadding(t *testing.T) {
	tk := load(t, "llama2-legacy")
	frame := sugarme.New(tk)
	pair, err := frame.EncodePair("the first", "a second", true)
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	for _, text := range []string{"the first", "a second"} {
		ids, err := tk.Encode(text, true)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, toInts(ids)...)
	}
	if !slices.Equal(pair.Ids, want) {
		t.Errorf("pair: %v, want %v", pair.Ids, want)
	}
	frame.WithTruncation(&sugar.TruncationParams{MaxLength: 4, Strategy: sugar.LongestFirst})
	cut, err := frame.EncodeSingle("one two three four five six", true)
	if err != nil {
		t.Fatal(err)
	}
	full, err := tk.Encode("one two three four five six", true)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cut.Ids, toInts(full)[:4]) {
		t.Errorf("truncated: %v, want the first 4 of %v", cut.Ids, full)
	}
}

// TestModelOffsets checks that the tokens of a word cover it without gaps.
func TestModelOffsets(t *testing.T) {
	for _, c := range []struct {
		name string
		unk  []string
	}{{"llama2-legacy", []string{"<unk>"}}, {"llama2-nobytes", []string{"<unk>"}}, {"metaspace-first-split", []string{"<unk>"}}, {"llama3", nil}} {
		model := sugarme.NewModel(load(t, c.name), c.unk...)
		for _, word := range []string{"▁the", "▁tokenizer😀é日本x", "日本", "x日", "ab"} {
			tokens, err := model.Tokenize(word)
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for _, tok := range tokens {
				if tok.Offsets[0] != at || tok.Offsets[1] <= at {
					t.Errorf("%s: %q: offsets %v of %q, want to go on from %d", c.name, word, tok.Offsets, tok.Value, at)
				}
				at = tok.Offsets[1]
			}
			if c.name != "llama3" && at != len(word) {
				t.Errorf("%s: %q: tokens cover %d of %d bytes", c.name, word, at, len(word))
			}
		}
	}
}

func TestModelVocabulary(t *testing.T) {
	tk := load(t, "mistral-v3")
	model := sugarme.NewModel(tk)
	vocab := model.GetVocab()
	if len(vocab) != tk.Size() || model.GetVocabSize() != tk.Size() {
		t.Errorf("%d entries, size %d, want %d", len(vocab), model.GetVocabSize(), tk.Size())
	}
	for piece, id := range vocab {
		if got, ok := model.IdToToken(id); !ok || got != piece {
			t.Errorf("IdToToken(%d) = %q, %v, want %q", id, got, ok, piece)
		}
		if got, ok := model.TokenToId(piece); !ok || got != id {
			t.Errorf("TokenToId(%q) = %d, %v, want %d", piece, got, ok, id)
		}
	}
	if _, ok := model.IdToToken(-1); ok {
		t.Error("id -1 is known")
	}
	if err := model.Save("x"); !errors.Is(err, sugarme.ErrSave) {
		t.Errorf("Save: %v, want ErrSave", err)
	}
}
