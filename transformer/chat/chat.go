package chat

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

var (
	// ErrMessages: a conversation that a template refuses.
	ErrMessages = errors.New("the chat template refuses the conversation")
	// ErrTemplate: a template that is malformed, not supported, or unknown.
	ErrTemplate = errors.New("chat template")
)

// Roles of messages.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Template turns a conversation into text. It is safe for concurrent use.
type Template interface {
	// Name says which template it is.
	Name() string
	// Render returns the text; generate ends it with what opens an answer. Errors wrap
	// ErrMessages or ErrTemplate.
	Render(messages []Message, generate bool) (string, error)
}

// Specials are the texts of the tokens that templates call bos_token and eos_token;
// empty if the model has none.
type Specials struct{ BOS, EOS string }

// refuse returns an error about a conversation.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrMessages)
}

// alternate makes sure that user and assistant take turns, the user first.
func alternate(messages []Message) error {
	for i, m := range messages {
		if want := []string{User, Assistant}[i%2]; m.Role != want {
			return refuse("message of role %q where %q belongs", m.Role, want)
		}
	}
	return nil
}

// splitSystem returns the text of a leading system message, and the rest.
func splitSystem(messages []Message) (system string, has bool, rest []Message) {
	if len(messages) > 0 && messages[0].Role == System {
		return messages[0].Content, true, messages[1:]
	}
	return "", false, messages
}

// strip is Python's str.strip, which templates call.
func strip(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}
