package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// Model is what a template is chosen by.
type Model struct {
	Dir     fs.FS                   // with chat_template.jinja or tokenizer_config.json; may be nil
	GGUF    *gguf.File              // with tokenizer.chat_template; may be nil
	Kind    string                  // model_type of config.json: "llama", "gemma2", …
	HasText func(token string) bool // whether the vocabulary has a token; may be nil
	Specials
}

// Choice is a template and where it comes from, for people.
type Choice struct {
	Template
	Why string
}

// ggufTemplate is the key of a GGUF file that holds its template.
const ggufTemplate = "tokenizer.chat_template"

// maxConfig bounds the files that templates are in.
const maxConfig = 64 << 20

// Find chooses a model's template: the one that came with it, else that of the family
// that its vocabulary or its architecture belongs to. The error wraps ErrTemplate, or
// fs.ErrNotExist where there is nothing to go by.
func (m Model) Find() (Choice, error) {
	source, where, err := m.own()
	if err != nil {
		return Choice{}, err
	}
	if source != "" {
		t, err := Jinja("of "+where, source, m.Specials)
		return Choice{t, "it came with the model"}, err
	}
	if m.HasText != nil {
		for _, f := range families {
			if f.special == "" || !m.HasText(f.special) {
				continue
			}
			if f.name == "gemma" && strings.HasPrefix(m.Kind, "gemma3") {
				break
			}
			return m.named(f.name, fmt.Sprintf("the model has no template of its own, but the token %s", f.special))
		}
	}
	for _, known := range []struct{ kind, name string }{{"gemma3", "gemma-3"}, {"gemma", "gemma"}, {"mistral", "mistral-v0.1"}, {"llama", "llama-2"}} {
		if strings.HasPrefix(m.Kind, known.kind) {
			return m.named(known.name, fmt.Sprintf("the model has no template of its own, and is a %s", m.Kind))
		}
	}
	return Choice{}, fmt.Errorf("%w: none came with the model: %w", ErrTemplate, fs.ErrNotExist)
}

func (m Model) named(name, why string) (Choice, error) {
	t, err := Named(name, m.Specials)
	return Choice{t, why}, err
}

// own returns the template that came with a model, if there is one, and where from.
func (m Model) own() (source, where string, err error) {
	if m.GGUF != nil {
		if !m.GGUF.Has(ggufTemplate) {
			return "", "", nil
		}
		source, err = m.GGUF.String(ggufTemplate)
		return source, ggufTemplate, err
	}
	if m.Dir == nil {
		return "", "", nil
	}
	const file = "chat_template.jinja"
	switch text, err := readSmall(m.Dir, file); {
	case err == nil:
		return string(text), file, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", err
	}
	const config = "tokenizer_config.json"
	text, err := readSmall(m.Dir, config)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return "", "", fmt.Errorf("%w: %s: %w", ErrTemplate, config, err)
	}
	source, err = fromConfig(c.Template)
	if err != nil {
		return "", "", fmt.Errorf("%w: %s: %w", ErrTemplate, config, err)
	}
	return source, config, nil
}

// fromConfig reads chat_template: a template, or several with names.
func fromConfig(raw json.RawMessage) (string, error) {
	var list []struct{ Name, Template string }
	var source string
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &source) == nil {
		return source, nil
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", errors.New("chat_template is neither a template nor a list of them")
	}
	for _, t := range list {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", errors.New("chat_template has none that is called default")
}

func readSmall(dir fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrTemplate, name, info.Size())
	}
	return fs.ReadFile(dir, name)
}
