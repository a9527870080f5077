package data_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

// FuzzRead feeds anything to the readers. Whatever comes out fits the model, and an
// error is of one of the known kinds.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		`{"text":"ab"}`, `{"prompt":"x","completion":"y"}` + "\n" + `{"prompt":"","completion":""}`,
		`{"input_ids":[1,2,3],"labels":[-100,2,3]}`, `[{"text":"a"}, {"text":"b"}]`, "\ufeff{\"text\":\"a\"}\r\n\r\n",
		`{"input_ids":[1,null],"labels":[1,2]}`, `{"text":"\ud800"}`, "plain\r\ntext", "{", "[{", "\x00", "\xff\xfe",
	} {
		for name := range uint8(4) {
			f.Add(name, text)
		}
	}
	names := []string{"a.jsonl", "a.json", "a.txt", "a"}
	o := data.Options{Tokens: letters{space: true, pairs: []string{": ", "ab"}}, Vocab: vocab, MaxLength: 16}
	f.Fuzz(func(t *testing.T, name uint8, text string) {
		s, err := data.Read(t.Context(), names[int(name)%len(names)], strings.NewReader(text), o)
		if err != nil {
			if !errors.Is(err, data.ErrFormat) && !errors.Is(err, data.ErrTooFew) {
				t.Fatalf("an error of no known kind: %v", err)
			}
			return
		}
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
