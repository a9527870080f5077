package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gpupeft/gpupeft/transformer/chat"
)

// roles are what ShareGPT's files call them.
var roles = map[string]string{"human": chat.User, "gpt": chat.Assistant, "system": chat.System, chat.User: chat.User, chat.Assistant: chat.Assistant}

// messages returns a field that is a conversation: objects with role and content, or
// as ShareGPT has them, from and value.
func (r row) messages(name string) ([]chat.Message, error) {
	if tools := strings.TrimSpace(string(r["tools"])); tools != "" && tools != "null" && tools != "[]" {
		return nil, fmt.Errorf("field \"tools\": conversations with tools are not supported: %w", ErrFormat)
	}
	var list []struct{ Role, Content, From, Value *string }
	if err := json.Unmarshal(r[name], &list); err != nil {
		return nil, fmt.Errorf("field %q is no list of messages with role and content: %w", name, ErrFormat)
	}
	var messages []chat.Message
	for i, m := range list {
		message := chat.Message{}
		switch {
		case m.Role != nil && m.Content != nil:
			message = chat.Message{Role: *m.Role, Content: *m.Content}
		case m.From != nil && m.Value != nil && roles[*m.From] != "":
			message = chat.Message{Role: roles[*m.From], Content: *m.Value}
		default:
			return nil, fmt.Errorf("field %q: message %d needs \"role\" and \"content\" that are strings: %w", name, i+1, ErrFormat)
		}
		if strings.ContainsRune(message.Content, 0) {
			return nil, fmt.Errorf("field %q: message %d: a NUL character: %w", name, i+1, ErrFormat)
		}
		messages = append(messages, message)
	}
	return messages, nil
}

// conversations makes an example of a prompt and a completion that are messages, as TRL
// has them: what the assistant says in the prompt is no target.
func (d *reader) conversations(r row) (Example, error) {
	if d.Template == nil {
		return Example{}, fmt.Errorf("a prompt of messages needs a chat template (name one): %w", ErrOptions)
	}
	prompt, err := r.messages(d.fields[0])
	if err != nil {
		return Example{}, err
	}
	completion, err := r.messages(d.fields[1])
	if err != nil {
		return Example{}, err
	}
	said := 0
	for _, m := range prompt {
		if m.Role == chat.Assistant {
			said++
		}
	}
	return d.conversation(append(prompt, completion...), said)
}

// conversation makes an example of messages: the assistant's but for the first few, or
// the last, are targets, each with the token that ends it. What follows the last of them is left out:
// nothing is learned from it.
func (d *reader) conversation(messages []chat.Message, skip int) (Example, error) {
	spans, text, err := chat.Answers(d.Template, messages)
	if errors.Is(err, chat.ErrMessages) {
		err = fmt.Errorf("%w: %w", err, ErrFormat)
	}
	if err != nil {
		return Example{}, err
	}
	if spans = spans[skip:]; len(spans) == 0 {
		return Example{}, fmt.Errorf("the completion has no message of the assistant: %w", ErrFormat)
	}
	if d.LastTurn {
		spans = spans[len(spans)-1:]
	}
	var parts []part
	end := 0
	for _, s := range spans {
		parts = append(parts, part{text: text[end:s.Start]}, part{text: text[s.Start:s.End], target: true})
		end = s.End
	}
	e, err := encodeParts(d.Tokens, parts, false)
	if err != nil {
		return e, err
	}
	return e, checkTokens(e.IDs, d.Vocab)
}
