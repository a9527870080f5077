package chat_test

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/transformer/chat"
)

// golden is what testdata/chat/generate.py has computed with transformers.
type golden struct {
	Conversations [][]chat.Message
	Families      map[string]struct {
		Template, BOS, EOS string
		Texts              [][2]json.RawMessage // without and with what opens an answer
	}
	Pieces []struct {
		Template string
		Texts    []json.RawMessage
	}
}

func load(t *testing.T) (g golden) {
	t.Helper()
	f, err := os.Open("../../testdata/chat/golden.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

// check compares a rendering with the reference, which may be an error.
func check(t *testing.T, tmpl chat.Template, messages []chat.Message, generate bool, want json.RawMessage) {
	t.Helper()
	got, err := tmpl.Render(messages, generate)
	var text string
	if json.Unmarshal(want, &text) != nil {
		if err == nil {
			t.Errorf("%s of %q: no error, got %q; want %s", tmpl.Name(), messages, got, want)
		}
		return
	}
	if err != nil || got != text {
		t.Errorf("%s of %q, generate %v:\n got  %q, %v\n want %q", tmpl.Name(), messages, generate, got, err, text)
	}
}

// TestFamilies holds the templates in Go, and the interpreter of Jinja on templates
// that do the same, against transformers.
func TestFamilies(t *testing.T) {
	g := load(t)
	if len(g.Conversations) != 50 || len(g.Families) != len(chat.Names()) {
		t.Fatalf("%d conversations of %d families", len(g.Conversations), len(g.Families))
	}
	for name, f := range g.Families {
		t.Run(name, func(t *testing.T) {
			own, err := chat.Named(name, chat.Specials{BOS: f.BOS, EOS: f.EOS})
			if err != nil {
				t.Fatal(err)
			}
			inJinja, err := chat.Jinja("jinja", f.Template, chat.Specials{BOS: f.BOS, EOS: f.EOS})
			if err != nil {
				t.Fatal(err)
			}
			for i, messages := range g.Conversations {
				for j, want := range f.Texts[i] {
					check(t, own, messages, j == 1, want)
					check(t, inJinja, messages, j == 1, want)
				}
			}
		})
	}
}

// TestJinja holds what templates use of Jinja against Jinja2 as transformers sets it up.
func TestJinja(t *testing.T) {
	g := load(t)
	for _, p := range g.Pieces {
		t.Run(p.Template, func(t *testing.T) {
			tmpl, err := chat.Jinja("jinja", p.Template, chat.Specials{BOS: "<s>", EOS: "</s>"})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range p.Texts {
				check(t, tmpl, g.Conversations[i], false, want)
			}
		})
	}
}

func TestUnknownName(t *testing.T) {
	if _, err := chat.Named("llama-9", chat.Specials{}); !errors.Is(err, chat.ErrTemplate) || !strings.Contains(err.Error(), "llama-3") {
		t.Errorf("got %v", err)
	}
}
