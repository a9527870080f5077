package chat_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
)

// TestFind checks which template a model gets, and that it is said why.
func TestFind(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	has := func(tokens ...string) func(string) bool {
		return func(token string) bool { return strings.Contains(fmt.Sprint(tokens), token) }
	}
	tests := []struct {
		name      string
		model     chat.Model
		want, why string
		err       error
	}{
		{"jinja file", chat.Model{Dir: fstest.MapFS{"chat_template.jinja": file("x"), "tokenizer_config.json": file(`{"chat_template":"y"}`)}}, "of chat_template.jinja", "it came with the model", nil},
		{"config", chat.Model{Dir: fstest.MapFS{"tokenizer_config.json": file(`{"chat_template":"y"}`)}, Kind: "llama"}, "of tokenizer_config.json", "it came", nil},
		{"several", chat.Model{Dir: fstest.MapFS{"tokenizer_config.json": file(`{"chat_template":[{"name":"tool_use","template":"a"},{"name":"default","template":"b"}]}`)}}, "of tokenizer_config.json", "it came", nil},
		{"none of several", chat.Model{Dir: fstest.MapFS{"tokenizer_config.json": file(`{"chat_template":[{"name":"rag","template":"a"}]}`)}}, "", "", chat.ErrTemplate},
		{"no template", chat.Model{Dir: fstest.MapFS{"tokenizer_config.json": file(`{"chat_template":7}`)}}, "", "", chat.ErrTemplate},
		{"bad template", chat.Model{Dir: fstest.MapFS{"tokenizer_config.json": file(`{"chat_template":"{% include 'a' %}"}`)}}, "", "", chat.ErrTemplate},
		{"null", chat.Model{Dir: fstest.MapFS{"tokenizer_config.json": file(`{"chat_template":null}`)}, Kind: "llama"}, "llama-2", "is a llama", nil},
		{"llama 3", chat.Model{Kind: "llama", HasText: has("<|start_header_id|>")}, "llama-3", "the token <|start_header_id|>", nil},
		{"llama 2", chat.Model{Kind: "llama", HasText: has()}, "llama-2", "is a llama", nil},
		{"mistral v3", chat.Model{Kind: "mistral", HasText: has("[INST]")}, "mistral-v0.3", "the token [INST]", nil},
		{"mistral v1", chat.Model{Kind: "mistral", HasText: has()}, "mistral-v0.1", "is a mistral", nil},
		{"gemma 2", chat.Model{Kind: "gemma2", HasText: has("<start_of_turn>")}, "gemma", "the token <start_of_turn>", nil},
		{"gemma 3", chat.Model{Kind: "gemma3_text", HasText: has("<start_of_turn>")}, "gemma-3", "is a gemma3_text", nil},
		{"chatml", chat.Model{Kind: "llama", HasText: has("<|im_start|>")}, "chatml", "the token <|im_start|>", nil},
		{"nothing", chat.Model{Kind: "gpt2"}, "", "", fs.ErrNotExist},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := test.model.Find()
			if !errors.Is(err, test.err) || err == nil && (c.Name() != test.want || !strings.Contains(c.Why, test.why)) {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
}

// TestEnd: what ends an answer in each family.
func TestEnd(t *testing.T) {
	for name, want := range map[string]string{"llama-2": "</s>", "llama-3": "<|eot_id|>", "gemma": "<end_of_turn>", "mistral-v0.1": "</s>", "chatml": "<|im_end|>"} {
		tmpl, err := chat.Named(name, chat.Specials{})
		if err != nil {
			t.Fatal(err)
		}
		if got := chat.End(tmpl); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestSmolLM2Template renders with the template in SmolLM2's GGUF file, as make smollm2
// gets it.
func TestSmolLM2Template(t *testing.T) {
	dir := filepath.Join("..", "..", "out", "smollm2")
	if _, err := os.Stat(filepath.Join(dir, "model.gguf")); err != nil {
		t.Skip("the real model is not here: make smollm2 gets it")
	}
	ckpt, err := transformer.OpenGGUF(os.DirFS(dir), "model.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer ckpt.Close()
	c, err := chat.Model{GGUF: ckpt.GGUF, Kind: ckpt.Config.Kind}.Find()
	if err != nil {
		t.Fatal(err)
	}
	chatML, err := chat.Named("chatml", chat.Specials{})
	if err != nil {
		t.Fatal(err)
	}
	system := chat.Message{Role: chat.System, Content: "You are a helpful AI assistant named SmolLM, trained by Hugging Face"}
	for _, messages := range load(t).Conversations {
		with := messages
		if messages[0].Role != chat.System { // the template has one of its own
			with = append([]chat.Message{system}, messages...)
		}
		for _, generate := range []bool{false, true} {
			got, err := c.Render(messages, generate)
			want, _ := chatML.Render(with, generate)
			if err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
	}
	if end := chat.End(c); end != "<|im_end|>" {
		t.Errorf("an answer ends with %q", end)
	}
}
