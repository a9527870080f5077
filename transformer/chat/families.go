package chat

import (
	"fmt"
	"strings"
)

// family is a template written in Go.
type family struct {
	name    string
	tokens  Specials
	special string // a token that only this family's vocabularies have, "" if none
	render  func(b *strings.Builder, s Specials, messages []Message, generate bool) error
}

// families are all templates written in Go, by name. Their tokens are those of the
// published models; a model's own replace them.
var families = []family{
	{"llama-2", Specials{"<s>", "</s>"}, "", llama2},
	{"llama-3", Specials{"<|begin_of_text|>", "<|eot_id|>"}, "<|start_header_id|>", llama3},
	{"gemma", Specials{"<bos>", "<eos>"}, "<start_of_turn>", gemma},
	{"gemma-3", Specials{"<bos>", "<eos>"}, "", gemma3},
	{"mistral-v0.1", Specials{"<s>", "</s>"}, "", mistral1},
	{"mistral-v0.3", Specials{"<s>", "</s>"}, "[INST]", mistral3},
	{"chatml", Specials{}, "<|im_start|>", chatML},
}

// Names returns the names of the templates that are written in Go.
func Names() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.name)
	}
	return names
}

// Named returns one of Names. Specials that are empty are those of the family's
// published models.
func Named(name string, s Specials) (Template, error) {
	for _, f := range families {
		if f.name == name {
			if s.BOS != "" {
				f.tokens.BOS = s.BOS
			}
			if s.EOS != "" {
				f.tokens.EOS = s.EOS
			}
			return f, nil
		}
	}
	return nil, fmt.Errorf("%w %q (known: %s)", ErrTemplate, name, strings.Join(Names(), ", "))
}

// Name implements Template.
func (f family) Name() string { return f.name }

// Render implements Template.
func (f family) Render(messages []Message, generate bool) (string, error) {
	if len(messages) == 0 {
		return "", refuse("no messages")
	}
	var b strings.Builder
	err := f.render(&b, f.tokens, messages, generate)
	return b.String(), err
}

// llama2 is that of meta-llama/Llama-2-*-chat-hf: the system's text is in the first
// turn of the user, and each turn is a text of its own.
func llama2(b *strings.Builder, s Specials, messages []Message, _ bool) error {
	system, has, turns := splitSystem(messages)
	if err := alternate(turns); err != nil {
		return err
	}
	for i, m := range turns {
		if m.Role == Assistant {
			fmt.Fprintf(b, " %s %s", strip(m.Content), s.EOS)
			continue
		}
		content := m.Content
		if i == 0 && has {
			content = "<<SYS>>\n" + system + "\n<</SYS>>\n\n" + content
		}
		fmt.Fprintf(b, "%s[INST] %s [/INST]", s.BOS, strip(content))
	}
	return nil
}

// llama3 is that of meta-llama/Meta-Llama-3-*-Instruct; any role may speak.
func llama3(b *strings.Builder, s Specials, messages []Message, generate bool) error {
	b.WriteString(s.BOS)
	for _, m := range messages {
		fmt.Fprintf(b, "<|start_header_id|>%s<|end_header_id|>\n\n%s<|eot_id|>", m.Role, strip(m.Content))
	}
	if generate {
		b.WriteString("<|start_header_id|>assistant<|end_header_id|>\n\n")
	}
	return nil
}

// gemma is that of google/gemma-*-it and gemma-2-*-it, which know no system.
func gemma(b *strings.Builder, s Specials, messages []Message, generate bool) error {
	if messages[0].Role == System {
		return refuse("Gemma's template has no system role")
	}
	return gemmaTurns(b, s, "", messages, generate)
}

// gemma3 is that of google/gemma-3-*-it: the system's text comes before the user's.
func gemma3(b *strings.Builder, s Specials, messages []Message, generate bool) error {
	system, has, turns := splitSystem(messages)
	if has {
		system += "\n\n"
	}
	return gemmaTurns(b, s, system, turns, generate)
}

func gemmaTurns(b *strings.Builder, s Specials, before string, turns []Message, generate bool) error {
	if err := alternate(turns); err != nil {
		return err
	}
	b.WriteString(s.BOS)
	for i, m := range turns {
		role := m.Role
		if role == Assistant {
			role = "model"
		}
		if i > 0 {
			before = ""
		}
		fmt.Fprintf(b, "<start_of_turn>%s\n%s%s<end_of_turn>\n", role, before, strip(m.Content))
	}
	if generate {
		b.WriteString("<start_of_turn>model\n")
	}
	return nil
}

// mistral1 is that of mistralai/Mistral-7B-Instruct-v0.1, which knows no system.
func mistral1(b *strings.Builder, s Specials, messages []Message, _ bool) error {
	if err := alternate(messages); err != nil {
		return err
	}
	b.WriteString(s.BOS)
	for _, m := range messages {
		if m.Role == User {
			fmt.Fprintf(b, "[INST] %s [/INST]", m.Content)
		} else {
			b.WriteString(m.Content + s.EOS + " ")
		}
	}
	return nil
}

// mistral3 is that of mistralai/Mistral-7B-Instruct-v0.3, without tools: the system's
// text is in the last turn of the user.
func mistral3(b *strings.Builder, s Specials, messages []Message, _ bool) error {
	system, has, turns := splitSystem(messages)
	if err := alternate(turns); err != nil {
		return err
	}
	lastUser := (len(turns) - 1) / 2 * 2
	b.WriteString(s.BOS)
	for i, m := range turns {
		switch {
		case m.Role == Assistant:
			fmt.Fprintf(b, " %s%s", strip(m.Content), s.EOS)
		case i == lastUser && has:
			fmt.Fprintf(b, "[INST] %s\n\n%s[/INST]", system, m.Content)
		default:
			fmt.Fprintf(b, "[INST] %s[/INST]", m.Content)
		}
	}
	return nil
}

// chatML is OpenAI's format, as Qwen and SmolLM have it but without a default for the
// system; any role may speak.
func chatML(b *strings.Builder, _ Specials, messages []Message, generate bool) error {
	for _, m := range messages {
		fmt.Fprintf(b, "<|im_start|>%s\n%s<|im_end|>\n", m.Role, m.Content)
	}
	if generate {
		b.WriteString("<|im_start|>assistant\n")
	}
	return nil
}
