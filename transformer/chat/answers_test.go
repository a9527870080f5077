package chat_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/transformer/chat"
)

// TestAnswers checks for every family, in Go and in Jinja, that answers are found:
// each span holds its answer and what ends it, and begins where generation would.
func TestAnswers(t *testing.T) {
	ends := map[string]string{"llama-2": " </s>", "llama-3": "<|eot_id|>", "gemma": "<end_of_turn>", "gemma-3": "<end_of_turn>", "mistral-v0.1": "</s>", "mistral-v0.3": "</s>", "chatml": "<|im_end|>"}
	g := load(t)
	for name, f := range g.Families {
		for _, inJinja := range []bool{false, true} {
			tmpl, err := chat.Named(name, chat.Specials{BOS: f.BOS, EOS: f.EOS})
			if inJinja {
				tmpl, err = chat.Jinja(name, f.Template, chat.Specials{BOS: f.BOS, EOS: f.EOS})
			}
			if err != nil {
				t.Fatal(err)
			}
			checked := 0
			for _, messages := range g.Conversations {
				if checkAnswers(t, tmpl, messages, ends[name]) {
					checked++
				}
			}
			if checked < 15 {
				t.Errorf("%s: only %d conversations have answers", name, checked)
			}
		}
	}
}

func checkAnswers(t *testing.T, tmpl chat.Template, messages []chat.Message, end string) bool {
	t.Helper()
	spans, text, err := chat.Answers(tmpl, messages)
	if errors.Is(err, chat.ErrMessages) {
		return false
	}
	if err != nil {
		t.Errorf("%s of %q: %v", tmpl.Name(), messages, err)
		return false
	}
	var want []string
	for _, m := range messages {
		if m.Role == chat.Assistant {
			want = append(want, strings.TrimSpace(m.Content)+end)
		}
	}
	var got []string
	for _, s := range spans {
		got = append(got, strings.TrimSpace(strings.TrimSuffix(text[s.Start:s.End], end))+end)
	}
	if fold := func(list []string) string { return strings.ReplaceAll(fmt.Sprint(list), "\x1c odd \x1f", "odd") }; fold(got) != fold(want) {
		t.Errorf("%s: answers %q, want %q", tmpl.Name(), got, want)
	}
	for i, m := range slices.Backward(messages) {
		if m.Role == chat.Assistant && i == len(messages)-1 {
			open, err := tmpl.Render(messages[:i], true)
			if s := spans[len(spans)-1]; err == nil && text[:s.Start] != open {
				t.Errorf("%s: the answer begins at %q, generation at %q", tmpl.Name(), text[:s.Start], open)
			}
		}
	}
	return true
}

// TestAnswersNotFound: a template that doesn't print an answer as it is, is refused.
func TestAnswersNotFound(t *testing.T) {
	messages := []chat.Message{{Role: chat.User, Content: "a"}, {Role: chat.Assistant, Content: "b"}}
	for _, source := range []string{"{{ messages[0].content }}", "{% for m in messages %}{{ m.content | upper }}{% endfor %}", "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}"} {
		tmpl, err := chat.Jinja("odd", source, chat.Specials{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := chat.Answers(tmpl, messages); !errors.Is(err, chat.ErrTemplate) || !strings.Contains(err.Error(), "doesn't print message 2") {
			t.Errorf("%s: got %v", source, err)
		}
	}
	tmpl, _ := chat.Named("chatml", chat.Specials{})
	if _, _, err := chat.Answers(tmpl, messages[:1]); !errors.Is(err, chat.ErrMessages) {
		t.Errorf("no answer: got %v", err)
	}
}

// TestAnswerThatTheTemplateChanges: what a template cuts from an answer is no target.
func TestAnswerThatTheTemplateChanges(t *testing.T) {
	tmpl, err := chat.Jinja("thinking", "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] | trim }}<end>\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}", chat.Specials{})
	if err != nil {
		t.Fatal(err)
	}
	spans, text, err := chat.Answers(tmpl, []chat.Message{{Role: chat.User, Content: "a"}, {Role: chat.Assistant, Content: "<think>hm</think> b "}})
	if err != nil || len(spans) != 1 || text[spans[0].Start:spans[0].End] != "b<end>" {
		t.Errorf("%v of %q, %v", spans, text, err)
	}
}
