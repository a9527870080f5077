package chat

import (
	"errors"
	"fmt"

	"github.com/gpupeft/gpupeft/transformer/internal/jinja"
)

// jinjaTemplate is a template in Jinja.
type jinjaTemplate struct {
	name   string
	tokens Specials
	parsed *jinja.Template
}

// Jinja parses a template in Jinja, as tokenizer_config.json has them under
// chat_template. What it asks for and isn't there is an error that wraps ErrTemplate.
// The template sees messages, add_generation_prompt, bos_token and eos_token; tools
// and documents are none.
func Jinja(name, source string, s Specials) (Template, error) {
	t, err := jinja.Parse(source, jinja.Limits{})
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrTemplate, name, err)
	}
	return &jinjaTemplate{name, s, t}, nil
}

// Name implements Template.
func (t *jinjaTemplate) Name() string { return t.name }

// Render implements Template.
func (t *jinjaTemplate) Render(messages []Message, generate bool) (string, error) {
	list := make([]any, len(messages))
	for i, m := range messages {
		list[i] = jinja.NewDict("role", m.Role, "content", m.Content)
	}
	text, err := t.parsed.Render(map[string]any{
		"messages": list, "add_generation_prompt": generate, "bos_token": t.tokens.BOS, "eos_token": t.tokens.EOS,
		"tools": nil, "documents": nil,
	})
	switch {
	case errors.Is(err, jinja.ErrRaised):
		return "", fmt.Errorf("%s: %w: %w", t.name, err, ErrMessages)
	case err != nil:
		return "", fmt.Errorf("%w %s: %w", ErrTemplate, t.name, err)
	}
	return text, nil
}
