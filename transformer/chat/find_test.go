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
	got, err := c.Render([]chat.Message{{Role: chat.User, Content: "Hi"}}, true)
	want := "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
}
