package data_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
)

// fuzzSeeds are files of every format and of every extension, good and bad ones.
var fuzzSeeds = []struct{ ext, text string }{
	{".jsonl", `{"text":"ab"}`},
	{".jsonl", `{"prompt":"x","completion":"y"}` + "\n" + `{"prompt":"","completion":""}`},
	{".jsonl", `{"input_ids":[1,2,3],"labels":[-100,2,3]}`},
	{".json", `[{"text":"a"}, {"text":"b"}]`},
	{".ndjson", "\ufeff{\"text\":\"a\"}\r\n\r\n"},
	{".jsonl", `{"input_ids":[1,null],"labels":[1,2]}`},
	{".jsonl", `{"text":"\ud800"}`},
	{".txt", "plain\r\ntext"},
	{".md", "# a"},
	{".json", "{"},
	{".json", "[{"},
	{"", "\x00"},
	{"", "\xff\xfe"},
	{".jsonl", `{"instruction":"a","input":"b","output":"c"}`},
	{".jsonl", `{"text":"good","label":1}` + "\n" + `{"text":"bad","label":"no"}`},
	{".json", `{"text":"a","label":0}`},
	{".jsonl", `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`},
	{".jsonl", `{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}`},
	{".jsonl", `{"question":"q","choices":["a","b"],"answer":1}`},
	{".jsonl", `{"question":"q","choices":{"text":["a","b"],"label":["A","B"]},"answerKey":"B"}`},
	{".csv", "prompt,completion\na,\"b, \"\"c\"\"\"\r\n"},
	{".csv", "text,label\nab,0\nab"},
	{".csv", `"`},
	{".tsv", "text\tlabel\na\\tb\tc\n"},
}

// FuzzRead feeds anything to the readers. Whatever comes out fits the model, and an
// error is of one of the known kinds.
func FuzzRead(f *testing.F) {
	template, err := chat.Named("chatml", chat.Specials{})
	if err != nil {
		f.Fatal(err)
	}
	exts := []string{".jsonl", ".json", ".txt", "", ".ndjson", ".csv", ".tsv", ".md"}
	for _, s := range fuzzSeeds {
		for settings := range uint8(4) {
			f.Add(uint8(slices.Index(exts, s.ext)), settings, s.text)
		}
	}
	f.Fuzz(func(t *testing.T, ext, settings uint8, text string) {
		o := data.Options{
			Tokens: letters{space: true, pairs: []string{": ", "ab"}}, Vocab: vocab, MaxLength: 64, Template: template, Memory: 1 << 12,
			Converse: settings&1 != 0, WholeLoss: settings&2 != 0, ByIndex: settings&4 != 0, LastTurn: settings&8 != 0,
		}
		s, err := data.Read(t.Context(), "a"+exts[int(ext)%len(exts)], strings.NewReader(text), o)
		if err != nil {
			if !errors.Is(err, data.ErrFormat) && !errors.Is(err, data.ErrTooFew) && !errors.Is(err, data.ErrOptions) {
				t.Fatalf("an error of no known kind: %v", err)
			}
			return
		}
		defer s.Close()
		if s.Len() == 0 || s.Format == "" {
			t.Fatalf("no error and %d examples of format %q", s.Len(), s.Format)
		}
		for _, e := range all(t, s) {
			check(t, e, o)
		}
	})
}

func check(t *testing.T, e data.Example, o data.Options) {
	t.Helper()
	if len(e.IDs) != len(e.Labels) || len(e.IDs) < 2 || len(e.IDs) > o.MaxLength || e.Targets() == 0 {
		t.Fatalf("example %v", e)
	}
	for i, id := range e.IDs {
		if id < 0 || int(id) >= o.Vocab || e.Labels[i] != transformer.Masked && (e.Labels[i] < 0 || int(e.Labels[i]) >= o.Vocab) {
			t.Fatalf("example %v at %d", e, i)
		}
	}
}
