package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse expects a tokenizer that works or an error with a sentinel of any
// file, whichever of the three formats it is taken for.
func FuzzParse(f *testing.F) {
	f.Add(smallJSON(f, nil))
	f.Add(smallJSON(f, map[string]string{
		"normalizer":     `{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Replace","pattern":{"Regex":"[ab]+"},"content":"▁"},{"type":"Strip","strip_left":true,"strip_right":true}]}`,
		"pre_tokenizer":  `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithNext","invert":true},{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}]}`,
		"post_processor": `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}}`,
		"decoder":        `{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Metaspace","replacement":"▁"},{"type":"Strip","content":" ","start":1,"stop":1}]}`,
	}))
	f.Add(smallJSON(f, map[string]string{"pre_tokenizer": `{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}`, "added_tokens": `[{"id":5,"content":"<s>","lstrip":true,"rstrip":true,"single_word":true,"normalized":true}]`}))
	for _, name := range []string{"sentencepiece/tokenizer.model", "smollm2/tokenizer.json"} {
		data, err := os.ReadFile(filepath.Join(goldenDir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 4000)])
	}
	f.Add([]byte("\x05\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*Tokenizer, error){Parse, ParseSentencePiece, ParseLlama2C} {
			tk, err := parse(data)
			if err != nil {
				if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrEncode) {
					t.Errorf("error without a sentinel: %v", err)
				}
				continue
			}
			exercise(t, tk, "a b  ab<s>x\n\xff 12é")
		}
	})
}

// FuzzEncode checks every committed pipeline on any text: encoding ends without
// a fault, ids are in range, and streams and text agree.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "Hello, world!", " \n\n  def f(x):\r\n\treturn 1", "<s>[INST] hi [/INST]</s>", "\xff\xed\xa0\x80", "👩‍👧 ſ'S 'ſ", "e\u0301 ▁▁", strings.Repeat("=", 90)} {
		f.Add(s)
	}
	var all []*Tokenizer
	for _, name := range pipelines(f) {
		all = append(all, load(f, filepath.Join(goldenDir, name)))
	}
	all = append(all, load(f, filepath.Join(goldenDir, "sentencepiece")))
	f.Fuzz(func(t *testing.T, text string) {
		for _, tk := range all {
			exercise(t, tk, text)
		}
	})
}

// exercise encodes and decodes text and checks what holds for every tokenizer.
func exercise(t *testing.T, tk *Tokenizer, text string) {
	t.Helper()
	ids, err := tk.Encode(text, true)
	if err != nil {
		if !errors.Is(err, ErrEncode) {
			t.Errorf("Encode(%q): error without ErrEncode: %v", text, err)
		}
		return
	}
	again, err := tk.Encode(validUTF8(text), true)
	if err != nil || !slices.Equal(ids, again) {
		t.Errorf("Encode(%q) = %v, of its valid form %v, %v", text, ids, again, err)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= tk.Size() {
			t.Errorf("Encode(%q) has id %d outside 0 to %d", text, id, tk.Size())
		}
	}
	stream := tk.Stream(false)
	for _, id := range ids {
		if part := stream.Next(id); !utf8.ValidString(part) {
			t.Errorf("stream of %v: %q is not UTF-8", ids, part)
		}
	}
	stream.Flush()
	if got := tk.Decode(ids, false); !utf8.ValidString(got) {
		t.Errorf("Decode(%v) = %q is not UTF-8", ids, got)
	}
}
