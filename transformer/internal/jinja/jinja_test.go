package jinja_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/transformer/internal/jinja"
)

// render parses and renders a template.
func render(source string) (string, error) {
	t, err := jinja.Parse(source, jinja.Limits{})
	if err != nil {
		return "", err
	}
	return t.Render(map[string]any{"messages": []any{jinja.NewDict("role", "user", "content", "hi")}, "text": "abc"})
}

// TestHostile runs templates that try to take memory, time, the stack, files or the
// process.
func TestHostile(t *testing.T) {
	double := "{% set x = 'a' %}" + strings.Repeat("{% set x = x ~ x %}", 60) + "{{ x }}"
	tests := []struct {
		name, source string
		kind         error
	}{
		{"recursion", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", jinja.ErrLimit},
		{"doubling", double, jinja.ErrLimit},
		{"doubling of lists", strings.ReplaceAll(strings.ReplaceAll(double, "'a'", "[1]"), "~", "+"), jinja.ErrLimit},
		{"repetition", "{{ 'a' * 99999999999 }}", jinja.ErrLimit},
		{"replace", "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}", jinja.ErrLimit},
		{"join", "{% set x = 'a' * 1000000 %}{{ range(10000) | join(x) }}", jinja.ErrLimit},
		{"range", "{{ range(99999999999) }}", jinja.ErrLimit},
		{"loops", "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", jinja.ErrLimit},
		{"output", "{% for i in range(99999) %}{{ text * 1000 }}{% endfor %}", jinja.ErrLimit},
		{"power", "{{ 10 ** 9999999 }}", jinja.ErrTemplate},
		{"parentheses", "{{ " + strings.Repeat("(", 9999) + "1" + strings.Repeat(")", 9999) + " }}", jinja.ErrTemplate},
		{"minuses", "{{ " + strings.Repeat("-", 99999) + "1 }}", jinja.ErrTemplate},
		{"nots", "{{ " + strings.Repeat("not ", 9999) + "1 }}", jinja.ErrTemplate},
		{"lists", "{{ " + strings.Repeat("[", 9999), jinja.ErrTemplate},
		{"blocks", strings.Repeat("{% if true %}", 9999), jinja.ErrTemplate},
		{"size", strings.Repeat("a", 1<<20), jinja.ErrTemplate},
		{"include", "{% include '/etc/passwd' %}", jinja.ErrTemplate},
		{"import", "{% import 'os' as os %}", jinja.ErrTemplate},
		{"extends", "{% extends '/etc/passwd' %}", jinja.ErrTemplate},
		{"call of a class", "{{ ''.__class__.__mro__[1].__subclasses__() }}", jinja.ErrTemplate},
		{"call of undefined", "{{ cycler.__init__.__globals__.os.popen('id') }}", jinja.ErrTemplate},
		{"append", "{{ messages.append(1) }}", jinja.ErrTemplate},
		{"raise", "{{ raise_exception('no') }}", jinja.ErrRaised},
		{"division", "{{ 1 // 0 }}", jinja.ErrTemplate},
		{"remainder", "{{ '%s' % 'a' }}", jinja.ErrTemplate},
		{"nested values", "{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x == [] }}{{ n.x | tojson }}", jinja.ErrTemplate},
		{"invalid UTF-8", "\xff", jinja.ErrTemplate},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			text, err := render(test.source)
			if !errors.Is(err, test.kind) || len(text) > 0 {
				t.Errorf("got %d bytes, %v; want %v", len(text), err, test.kind)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestMalformed checks that a mistake is an error that names the line.
func TestMalformed(t *testing.T) {
	for _, source := range []string{
		"{{", "{{ a", "{%", "{% if %}", "{% if a %}", "{% for %}", "{% for a in %}", "{% endif %}", "{{ a. }}", "{{ a[ }}", "{{ a[] }}",
		"{{ 'a }}", "{# a", "{% raw %}", "{{ a | nothing }}", "{{ a is nothing }}", "{% set %}", "{% set a.b.c = 1 %}", "{{ f(a=) }}", "{{ @ }}", "{% break %}",
		"{% for a in b recursive %}{% endfor %}", "{{ {1: 2} }}", "{{ '\\xzz' }}", "{{ 1 + }}", "{% macro f( %}{% endmacro %}", "{{ a[1:2:3:4] }}",
	} {
		if text, err := render("\n" + source); !errors.Is(err, jinja.ErrTemplate) {
			t.Errorf("%q: %q, %v", source, text, err)
		} else if source != "{{ {1: 2} }}" && !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%q: %v names no line", source, err)
		}
	}
}

func TestTime(t *testing.T) {
	text, err := render("{{ strftime_now('%Y-%m-%d %% %q') }}")
	if want := time.Now().Format("2006-01-02"); err != nil || text != want+" % %q" {
		t.Errorf("got %q, %v", text, err)
	}
}

// FuzzRender makes sure that whatever a template says, there is an answer or an error
// of a known kind.
func FuzzRender(f *testing.F) {
	for _, source := range []string{
		"{{ messages[-1].content }}", "{% for m in messages %}{{ m.role | upper }}{% endfor %}", "{% macro a(b=1) %}{{ b }}{% endmacro %}{{ a() }}",
		"{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a is eq 2 }}", "{% raw %}{{{% endraw %}", "a{#- b -#} c", "{{ text[::-1] ~ [1, {'a': none}] | tojson }}",
	} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := jinja.Parse(source, jinja.Limits{Steps: 10000, Bytes: 1 << 20})
		if err == nil {
			_, err = tmpl.Render(map[string]any{"messages": []any{jinja.NewDict("role", "user", "content", "hi")}, "text": "abc"})
		}
		if err != nil && !errors.Is(err, jinja.ErrTemplate) && !errors.Is(err, jinja.ErrLimit) && !errors.Is(err, jinja.ErrRaised) {
			t.Fatal(err)
		}
		if err != nil && strings.Contains(err.Error(), "runtime error") {
			t.Fatal(err)
		}
	})
}
