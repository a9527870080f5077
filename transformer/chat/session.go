package chat

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
	"github.com/gpupeft/gpupeft/transformer/tokenizer"
)

// ErrFull: a conversation for which the model, or the run's context, has no positions left.
var ErrFull = errors.New("the conversation is too long")

// SessionConfig says who talks, and how.
type SessionConfig struct {
	// Run computes one sequence, and has a Context that the whole conversation must fit.
	Run    *transformer.Run
	Tokens *tokenizer.Tokenizer
	// Template turns the conversation into text. Nil: the texts alone, each on a line of
	// its own, with what the tokenizer puts in front of a text.
	Template Template
	System   string // what the system says; "": nothing
	Task     int    // of a soft prompt for several
	// Generation is that of an answer. What the template ends answers with is added to
	// Stop. Answer n, from 0, is sampled with Seed+n.
	transformer.Generation
}

// Session is a conversation with a model. What was computed of it stays in the run's
// cache: a further answer computes only the tokens that are new. If a template changes
// earlier text, as one does that has the system speak last, that is computed again from
// where it differs. It belongs to one goroutine, which uses the run for nothing else.
type Session struct {
	config   SessionConfig
	messages []Message // without the system's
	stop     []int32
	cached   []int32 // ids in the run's cache
	last     Answer
}

// Stop says why an answer ended.
type Stop string

// The reasons.
const (
	Ended       Stop = "end"         // the model ended it
	Cut         Stop = "length"      // MaxTokens
	OutOfRoom   Stop = "context"     // no positions are left
	Interrupted Stop = "interrupted" // the context was cancelled, or the caller left the loop
)

// Answer is what came of a question.
type Answer struct {
	Text     string
	Tokens   int // of the text
	Stop     Stop
	Computed int // tokens of the conversation that were not in the cache before
	Context  int // tokens of the conversation with the answer, virtual ones included
}

// NewSession begins a conversation. Errors wrap ErrMessages or ErrTemplate if the template
// takes no question, or no system.
func NewSession(c SessionConfig) (*Session, error) {
	s := &Session{config: c, stop: slices.Clone(c.Stop)}
	if err := s.SetSystem(c.System); err != nil {
		return nil, err
	}
	if c.Template != nil {
		ids, err := c.Tokens.Encode(End(c.Template), false)
		if err != nil {
			return nil, err
		}
		if len(ids) == 1 && c.Tokens.IsSpecial(ids[0]) {
			s.stop = append(s.stop, ids[0])
		}
	}
	c.Run.Reset()
	return s, nil
}

// SetSystem changes what the system says, from the next answer on. Errors wrap ErrMessages
// or ErrTemplate if the template has no place for it, and nothing is changed.
func (s *Session) SetSystem(text string) error {
	if s.config.Template != nil {
		if _, err := s.config.Template.Render(withSystem(text, []Message{{User, "?"}}), true); err != nil {
			return err
		}
	}
	s.config.System = text
	return nil
}

// Reset forgets what was said, but not the system.
func (s *Session) Reset() { s.messages = nil }

// Messages returns what was said, the system first.
func (s *Session) Messages() []Message { return withSystem(s.config.System, s.messages) }

// Last returns the answer to the last question that got one.
func (s *Session) Last() Answer { return s.last }

func withSystem(text string, messages []Message) []Message {
	if text == "" {
		return slices.Clone(messages)
	}
	return append([]Message{{System, text}}, messages...)
}

// Ask puts a question and yields the answer as it comes, in pieces of text; Last tells of
// the whole. The loop ends with the first error, which wraps ErrFull, and nothing of the
// conversation is left out, if there is no room for an answer. A question that got no text
// because of an error, or of a context that was cancelled, is as if it had not been asked; the
// beginning of an answer stays.
func (s *Session) Ask(ctx context.Context, text string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		messages := append(slices.Clone(s.messages), Message{User, text})
		prompt, err := s.encode(messages)
		if room := s.config.Run.Positions(); err == nil && len(prompt) >= room {
			err = fmt.Errorf("%d tokens leave no room for an answer in %d positions: %w", len(prompt), room, ErrFull)
		}
		if err != nil {
			yield("", err)
			return
		}
		a, open, err := s.answer(ctx, prompt, yield)
		if err == nil || a.Text != "" {
			s.messages, s.last = append(messages, Message{Assistant, a.Text}), a
		}
		if err != nil && open {
			yield("", err)
		}
	}
}

// encode returns the ids of a conversation that is to be answered, virtual ones in front.
func (s *Session) encode(messages []Message) (ids []int32, err error) {
	tok, all := s.config.Tokens, withSystem(s.config.System, messages)
	if s.config.Template == nil {
		var lines []string
		for _, m := range all {
			lines = append(lines, m.Content)
		}
		if ids, err = tok.Encode(strings.Join(lines, "\n"), true); err != nil {
			return nil, err
		}
		_, behind := tok.Surround()
		ids = ids[:len(ids)-len(behind)]
	} else {
		text, err := s.config.Template.Render(all, true)
		if err != nil {
			return nil, err
		}
		if ids, err = tok.Encode(text, false); err != nil { // the template has written BOS
			return nil, err
		}
	}
	return s.config.Run.WithPrompt(transformer.Batch{IDs: [][]int32{ids}, Tasks: []int{s.config.Task}}).IDs[0], nil
}

// answer continues a conversation. open says whether the caller still listens.
func (s *Session) answer(ctx context.Context, prompt []int32, yield func(string, error) bool) (a Answer, open bool, err error) {
	run, g := s.config.Run, s.config.Generation
	g.Stop, g.MaxTokens, g.Seed = s.stop, min(g.MaxTokens, run.Positions()-len(prompt)), g.Seed+uint64(len(s.messages)/2)
	known := min(shared(s.cached, prompt), len(prompt)-1) // the last is computed for what comes next
	if err := run.Rewind(max(known, 0)); err != nil {
		return a, true, err
	}
	stream := s.config.Tokens.Stream(true)
	for _, id := range prompt {
		if id >= 0 {
			stream.Next(id) // so that the answer begins with its space
		}
	}
	a.Computed, a.Stop, open = len(prompt)-known, Ended, true
	put := func(piece string) bool {
		a.Text += piece
		open = piece == "" || yield(piece, nil)
		return open
	}
	all := prompt
	for id, e := range run.Continue(ctx, prompt[known:], g) {
		if err = e; err != nil {
			break
		}
		all = append(all, id)
		if !put(stream.Next(id)) {
			break
		}
	}
	s.cached = all[:run.Cached()]
	a.Tokens, a.Context = len(all)-len(prompt), len(all)
	switch {
	case err != nil || !open:
		a.Stop = Interrupted
		a.Text += stream.Flush()
		return a, open, err
	case a.Tokens == s.config.MaxTokens:
		a.Stop = Cut
	case a.Tokens == g.MaxTokens:
		a.Stop = OutOfRoom
	}
	put(stream.Flush())
	return a, open, nil
}

// shared returns how many ids two lists begin with in common.
func shared(a, b []int32) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
