package chat_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/chat"
	"github.com/gpupeft/gpupeft/transformer/demo"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// partner opens the built-in model for conversations.
func partner(t *testing.T, method peft.Config, context int) (*transformer.Run, *tokenizer.Tokenizer) {
	t.Helper()
	b := tensor.NewCPU(0)
	model, err := transformer.Load(t.Context(), b, demo.Model(), transformer.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(demo.Model())
	if err != nil {
		t.Fatal(err)
	}
	o := transformer.RunOptions{Batch: 1, Length: 16, Context: context}
	closers := []interface{ Close() error }{b, model}
	if method != nil {
		m, err := peft.New(t.Context(), model, method)
		if err != nil {
			t.Fatal(err)
		}
		o.Adapters, closers = []transformer.Adapter{m}, append(closers, m)
	}
	r, err := model.NewRun(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range slices.Backward(append(closers, r)) {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return r, tok
}

func ask(t *testing.T, s *chat.Session, question string) chat.Answer {
	t.Helper()
	text := ""
	for piece, err := range s.Ask(t.Context(), question) {
		if err != nil {
			t.Fatal(err)
		}
		text += piece
	}
	if a := s.Last(); a.Text != text {
		t.Errorf("yielded %q, the answer is %q", text, a.Text)
	}
	return s.Last()
}

// fresh answers the last question of a conversation without a session.
func fresh(t *testing.T, r *transformer.Run, tok *tokenizer.Tokenizer, template chat.Template, said []chat.Message, g transformer.Generation) string {
	t.Helper()
	var ids []int32
	var err error
	if template != nil {
		text, renderErr := template.Render(said, true)
		ids, err = tok.Encode(text, false)
		err = errors.Join(renderErr, err)
	} else {
		text := ""
		for i, m := range said {
			if i > 0 {
				text += "\n"
			}
			text += m.Content
		}
		ids, err = tok.Encode(text, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	stream := tok.Stream(true)
	for _, id := range ids {
		stream.Next(id)
	}
	answer := ""
	for id, err := range r.Generate(t.Context(), append(r.Virtual(), ids...), g) {
		if err != nil {
			t.Fatal(err)
		}
		answer += stream.Next(id)
	}
	return answer + stream.Flush()
}

// TestSession compares each answer with that of a run over the whole conversation, and
// counts what was computed for it.
func TestSession(t *testing.T) {
	templates := map[string]chat.Template{"none": nil}
	for _, name := range []string{"llama-2", "chatml", "mistral-v0.3"} {
		template, err := chat.Named(name, chat.Specials{BOS: "<s>", EOS: "</s>"})
		if err != nil {
			t.Fatal(err)
		}
		templates[name] = template
	}
	for method, config := range map[string]peft.Config{
		"bare": nil, "prompt": peft.PromptConfig{Tokens: 5, Init: peft.InitRandom, Seed: 3}, "prefix": peft.PrefixConfig{Tokens: 4, Init: peft.PrefixInit(peft.InitRandom), Seed: 3},
	} {
		r, tok := partner(t, config, 250)
		alone, _ := partner(t, config, 250)
		for name, template := range templates {
			for _, temperature := range []float64{0, 1} {
				g := transformer.Generation{MaxTokens: 12, Stop: []int32{2}, Sampling: transformer.Sampling{Temperature: temperature, Seed: 9}}
				s, err := chat.NewSession(chat.SessionConfig{Run: r, Tokens: tok, Template: template, System: "Be brief.", Generation: g})
				if err != nil {
					t.Fatal(err)
				}
				seen, first := 0, 0
				for turn, question := range []string{"Who ate the soup?", "Was it good?", "Why?"} {
					a := ask(t, s, question)
					said := s.Messages()
					again := g
					again.Seed += uint64(turn)
					if want := fresh(t, alone, tok, template, said[:len(said)-1], again); a.Text != want {
						t.Errorf("%s, %s, %v, turn %d: %q, want %q", method, name, temperature, turn, a.Text, want)
					}
					if turn == 0 {
						first = a.Context - a.Tokens
						if a.Computed != first {
							t.Errorf("%s, %s: the first answer computed %d of %d", method, name, a.Computed, first)
						}
					} else if name != "mistral-v0.3" && a.Computed > a.Context-a.Tokens-seen+13 || a.Computed >= a.Context-a.Tokens {
						t.Errorf("%s, %s, turn %d: %d computed of %d, of which %d were known", method, name, turn, a.Computed, a.Context-a.Tokens, seen)
					}
					seen = a.Context
				}
				s.Reset()
				if a := ask(t, s, "Who ate the soup?"); temperature == 0 && a.Computed != 1 && name == "none" {
					t.Errorf("%s, %s: %d computed of a question that was asked before", method, name, a.Computed)
				}
			}
		}
	}
}

// TestSessionEnds looks at how answers end, and at what is left of those that were broken off.
func TestSessionEnds(t *testing.T) {
	r, tok := partner(t, nil, 40)
	g := transformer.Generation{MaxTokens: 8}
	s, err := chat.NewSession(chat.SessionConfig{Run: r, Tokens: tok, Generation: g})
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, s, "Once upon a time"); a.Stop != chat.Cut || a.Tokens != 8 || a.Context != r.Cached()+1 {
		t.Errorf("%+v", a)
	}

	// The caller leaves.
	for range s.Ask(t.Context(), "And") {
		break
	}
	if a, said := s.Last(), s.Messages(); a.Stop != chat.Interrupted || a.Text == "" || len(said) != 4 || said[3].Content != a.Text {
		t.Errorf("%+v, %v", a, said)
	}

	// The context ends before anything is said, and within the answer.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.Ask(gone, "Then") {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if said := s.Messages(); len(said) != 4 {
		t.Errorf("%v", said)
	}
	s.Reset()
	within, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, err := range s.Ask(within, "The cook") {
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	said := s.Messages()
	if a := s.Last(); a.Stop != chat.Interrupted || len(said) != 2 || said[1].Content != a.Text {
		t.Errorf("%+v, %v", a, said)
	}
	alone, _ := partner(t, nil, 40)
	if a, want := ask(t, s, "said"), fresh(t, alone, tok, nil, append(said, chat.Message{Role: chat.User, Content: "said"}), g); a.Text != want {
		t.Errorf("after an interrupted answer: %q, want %q", a.Text, want)
	}

	// The room ends within an answer, and then there is none for a question.
	full := false
	for range 10 {
		for _, err := range s.Ask(t.Context(), "more of it") {
			if full = errors.Is(err, chat.ErrFull); err != nil && !full {
				t.Fatal(err)
			}
		}
		if full {
			break
		}
	}
	if a, before := s.Last(), s.Messages(); !full || a.Stop != chat.OutOfRoom || a.Context != 40 || before[len(before)-1].Role != chat.Assistant {
		t.Errorf("full: %v, %+v, %v", full, a, before)
	}

	gemma, err := chat.Named("gemma", chat.Specials{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chat.NewSession(chat.SessionConfig{Run: r, Tokens: tok, Template: gemma, System: "Be brief."}); !errors.Is(err, chat.ErrMessages) {
		t.Errorf("a system for Gemma: %v", err)
	}
	if s, err = chat.NewSession(chat.SessionConfig{Run: r, Tokens: tok, Template: gemma}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSystem("Be brief."); !errors.Is(err, chat.ErrMessages) || len(s.Messages()) != 0 {
		t.Errorf("%v, %v", err, s.Messages())
	}
}
