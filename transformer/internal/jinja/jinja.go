package jinja

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrTemplate: a template that is malformed, asks for what isn't supported, or does
	// what can't be done.
	ErrTemplate = errors.New("template error")
	// ErrLimit: a template that takes too much work or memory.
	ErrLimit = errors.New("template exceeds a limit")
	// ErrRaised: what a template gave to raise_exception.
	ErrRaised = errors.New("refused by the template")
)

// Limits bound one rendering. Zero means the default.
type Limits struct {
	Steps int // of evaluation; 2,000,000, less than a second
	Bytes int // of all texts and lists that are made on the way; 64 MiB
}

// Template is a parsed template. It is immutable.
type Template struct {
	body   []node
	limits Limits
	// Now is what strftime_now tells.
	now func() time.Time
}

// Parse parses a template. Errors wrap ErrTemplate and name the line.
func Parse(source string, l Limits) (t *Template, err error) {
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	defer catch(&err)
	p := &parser{tokens: tokens}
	body, _ := p.body()
	if l.Steps == 0 {
		l.Steps = 2_000_000
	}
	if l.Bytes == 0 {
		l.Bytes = 64 << 20
	}
	return &Template{body: body, limits: l, now: time.Now}, nil
}

// catch turns a failure into an error. A mistake of this package is one as well: no
// template may end its host.
func catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case failure:
		*err = r.error
	default:
		*err = fmt.Errorf("%v: %w", r, ErrTemplate)
	}
}

// Render renders the template. Variables are nil, bool, int, float64, string, []any
// or *Dict. Errors wrap ErrTemplate, ErrLimit or ErrRaised.
func (t *Template) Render(variables map[string]any) (text string, err error) {
	defer catch(&err)
	s := &state{limits: t.limits, now: t.now, out: &strings.Builder{}}
	s.scope = &scope{values: map[string]any{}}
	for name, f := range globals {
		s.scope.values[name] = f
	}
	for name, v := range variables {
		s.scope.values[name] = v
	}
	s.scope = &scope{above: s.scope, values: map[string]any{}}
	s.run(t.body)
	return s.out.String(), nil
}

// state is one rendering.
type state struct {
	limits       Limits
	steps, bytes int
	depth        int
	scope        *scope
	out          *strings.Builder
	now          func() time.Time
	jump         jump // that is under way, "" if none
}

// scope is the variables that a part of the template sees.
type scope struct {
	above  *scope
	values map[string]any
}

func (s *state) fail(format string, args ...any) {
	panic(failure{fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrTemplate)})
}

// step counts work.
func (s *state) step() {
	if s.steps++; s.steps > s.limits.Steps {
		panic(failure{fmt.Errorf("%d steps: %w", s.limits.Steps, ErrLimit)})
	}
}

// reserve counts memory before it is used.
func (s *state) reserve(bytes int) {
	if s.bytes += bytes; bytes < 0 || s.bytes > s.limits.Bytes || s.bytes < 0 {
		panic(failure{fmt.Errorf("%d bytes of text: %w", s.limits.Bytes, ErrLimit)})
	}
}

// made counts a text that was made.
func (s *state) made(text string) string {
	s.reserve(len(text))
	return text
}

// count counts a list of n values.
func (s *state) count(n int) { s.reserve(16 * n) }

func (s *state) lookup(name string) any {
	for c := s.scope; c != nil; c = c.above {
		if v, ok := c.values[name]; ok {
			return v
		}
	}
	return undefined{name}
}

// inner runs f with variables of its own.
func (s *state) inner(f func()) {
	if s.depth++; s.depth > maxDepth {
		panic(failure{fmt.Errorf("nested more than %d deep: %w", maxDepth, ErrLimit)})
	}
	above := s.scope
	s.scope = &scope{above: above, values: map[string]any{}}
	f()
	s.scope = above
	s.depth--
}

// captured runs f and returns what it prints.
func (s *state) captured(f func()) string {
	out := s.out
	s.out = &strings.Builder{}
	f()
	text := s.out.String()
	s.out = out
	return text
}
