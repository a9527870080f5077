package tokenizer

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// anyText draws text of all kinds: of any script, with runs of spaces, pieces of special tokens, and bytes that are
// not UTF-8.
var anyText = rapid.Map(rapid.SliceOfN(rapid.OneOf(
	rapid.String(),
	rapid.StringMatching(`[a-z ]{1,12}`),
	rapid.StringMatching(`[ \n\t\r▁]{1,4}`),
	rapid.StringMatching(`[0-9'.,!-]{1,6}`),
	rapid.SampledFrom([]string{"<s>", "</s>", "<", "<0x41>", "'s", "don't", "e\u0301", "\u200d", "👩‍👧", "<|endoftext|>", "[INST]", "\ufffd"}),
	rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 4), func(b []byte) string { return string(b) }),
), 0, 6), func(parts []string) string { return strings.Join(parts, "") })

// every loads all committed tokenizers.
func every(t *testing.T) map[string]*Tokenizer {
	all := map[string]*Tokenizer{"sentencepiece": load(t, filepath.Join(goldenDir, "sentencepiece"))}
	for _, name := range pipelines(t) {
		all[name] = load(t, filepath.Join(goldenDir, name))
	}
	return all
}

// TestAnyTextIsEncoded: any bytes are encoded to ids of the vocabulary, or an error says why not.
func TestAnyTextIsEncoded(t *testing.T) {
	all := every(t)
	rapid.Check(t, func(r *rapid.T) {
		text := anyText.Draw(r, "text")
		for _, tk := range all {
			exercise(t, tk, text)
		}
		if t.Failed() {
			r.Fatalf("text %q", text)
		}
	})
}

// streamed decodes ids one at a time.
func streamed(tk *Tokenizer, ids []int32, skipSpecial bool) string {
	var b strings.Builder
	s := tk.Stream(skipSpecial)
	for _, id := range ids {
		b.WriteString(s.Next(id))
	}
	b.WriteString(s.Flush())
	return b.String()
}

// TestAnyStream: a stream gives what Decode gives, for the ids of any text and for any ids, but where Decode
// replaces a run of byte tokens.
func TestAnyStream(t *testing.T) {
	all := every(t)
	rapid.Check(t, func(t *rapid.T) {
		text, special := anyText.Draw(t, "text"), rapid.Bool().Draw(t, "special")
		random := rapid.SliceOfN(rapid.Int32Range(0, 1<<16), 0, 12).Draw(t, "ids")
		for name, tk := range all {
			ids, err := tk.Encode(text, special)
			if err != nil {
				continue
			}
			if got, want := streamed(tk, ids, special), tk.Decode(ids, special); got != want {
				t.Errorf("%s: %q in pieces, %q as a whole", name, got, want)
			}
			some := slices.Clone(random)
			for i := range some {
				some[i] %= int32(tk.Size())
			}
			if got, want := streamed(tk, some, special), tk.Decode(some, special); got != want && !strings.ContainsRune(want, utf8.RuneError) {
				t.Errorf("%s, ids %v: %q in pieces, %q as a whole", name, some, got, want)
			}
		}
	})
}

// A spaced tokenizer writes spaces as "▁", and can't tell the two apart afterwards.
func spaced(text string) string { return strings.ReplaceAll(text, "▁", " ") }

// prefixed has a space in front unless there is one.
func prefixed(text string) string {
	if text == "" || text[0] == ' ' {
		return text
	}
	return " " + text
}

// unspaced is spaced without the space in front that a Metaspace doesn't add to, but takes away.
func unspaced(text string) string { return strings.TrimPrefix(spaced(text), " ") }

// comesBack says what the normalizers of tokenizers make of a text that they lose nothing of.
var comesBack = map[string]func(string) string{
	"gpt2": strings.Clone, "llama3": strings.Clone, "llama3-bos": strings.Clone, "qwen2": strings.Clone, "smollm2": strings.Clone,
	"tekken": strings.Clone, "gpt2-prefix": prefixed, "gemma": spaced, "gemma-split": spaced, "llama2-legacy": spaced,
	"llama2-crossing": spaced, "sentencepiece": spaced, "mistral-v3": unspaced, "metaspace-first": unspaced,
}

// TestAnyTextComesBack: what is encoded decodes to the same text, but for what a tokenizer's normalizer changes.
func TestAnyTextComesBack(t *testing.T) {
	all := every(t)
	rapid.Check(t, func(t *rapid.T) {
		text := anyText.Draw(t, "text")
		for name, normalized := range comesBack {
			tk := all[name]
			ids, err := tk.Encode(text, false)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if slices.ContainsFunc(ids, func(id int32) bool { return tk.added.shown[id] != "" || tk.IsSpecial(id) }) {
				continue // around them, spaces are the reference's
			}
			if got, want := tk.Decode(ids, false), normalized(validUTF8(text)); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
}
