package chat

import (
	"fmt"
	"slices"
	"strings"
)

// Span is a part of a text, in bytes.
type Span struct{ Start, End int }

// stand stands for an answer, to find where a template puts it. It is no word of any
// language, and templates have no reason to treat it otherwise than a word.
const stand = "qzxjanswerqzxj"

// Answers renders a conversation and says where the answers of the assistant are in
// the text: from where generation would begin, up to and including what ends an
// answer, such as an end-of-turn token, but not the white space behind that. Errors
// wrap ErrMessages or ErrTemplate.
//
// An answer is found by rendering the conversation with another text in its place, so
// it is found whatever the answer says, and whatever the template makes of it.
func Answers(t Template, messages []Message) (spans []Span, text string, err error) {
	if text, err = t.Render(messages, false); err != nil {
		return nil, "", err
	}
	for i, m := range messages {
		if m.Role != Assistant {
			continue
		}
		s, err := answer(t, messages, i, text)
		if err != nil {
			return nil, "", err
		}
		spans = append(spans, s)
	}
	if len(spans) == 0 {
		return nil, "", refuse("it has no message of the assistant to learn from")
	}
	return spans, text, nil
}

// answer finds the answer that is message i.
func answer(t Template, messages []Message, i int, text string) (Span, error) {
	other := slices.Clone(messages)
	other[i].Content = stand
	whole, err := t.Render(other, false)
	if err != nil {
		return Span{}, err
	}
	before, behind, found := strings.Cut(whole, stand)
	if !found || strings.Contains(behind, stand) || len(before)+len(behind) > len(text) ||
		!strings.HasPrefix(text, before) || !strings.HasSuffix(text, behind) {
		return Span{}, fmt.Errorf("%w %s doesn't print message %d as it is: its answer can't be told from the rest", ErrTemplate, t.Name(), i+1)
	}
	// A space before an answer is of its first token.
	s := Span{len(strings.TrimRight(before, " ")), len(text) - len(behind)}
	// What ends an answer is what follows it where nothing else does.
	alone, err := t.Render(other[:i+1], false)
	if err != nil {
		return Span{}, err
	}
	if _, tail, _ := strings.Cut(alone, stand); strings.HasPrefix(text[s.End:], tail) {
		s.End += len(strings.TrimRight(tail, " \t\n"))
	}
	// Generation begins where the template stops when asked to open an answer.
	if open, err := t.Render(messages[:i], true); i > 0 && err == nil && strings.HasPrefix(before, open) {
		s.Start = len(open)
	}
	return s, nil
}
