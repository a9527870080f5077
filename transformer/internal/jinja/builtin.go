package jinja

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// globals are the functions that a template starts with.
var globals = map[string]function{
	"range": func(s *state, a arguments) any {
		n := []int{0, 0, 1}
		for i, v := range a.list {
			k, ok := v.(int)
			if !ok || i > 2 {
				s.fail("range of %s", typeName(v))
			}
			n[i] = k
		}
		if len(a.list) == 1 {
			n[0], n[1] = 0, n[0]
		}
		if n[2] == 0 || len(a.list) == 0 {
			s.fail("range without an end or with steps of 0")
		}
		size := 0 // first, as a list that grows takes twice the memory
		for i := n[0]; n[2] > 0 && i < n[1] || n[2] < 0 && i > n[1]; i += n[2] {
			s.step()
			s.count(2) // the element, and the number that it points to
			size++
		}
		list := make([]any, size)
		for i := range list {
			list[i] = n[0] + i*n[2]
		}
		return list
	},
	"namespace": func(s *state, a arguments) any { return &namespace{newDict(a)} },
	"dict":      func(s *state, a arguments) any { return newDict(a) },
	"raise_exception": func(s *state, a arguments) any {
		message, _ := a.get(0, "message")
		panic(failure{fmt.Errorf("%s: %w", display(message), ErrRaised)})
	},
	"strftime_now": func(s *state, a arguments) any {
		format, _ := a.get(0, "format")
		return strftime(s.now(), display(format))
	},
}

func newDict(a arguments) *Dict {
	d := NewDict()
	for _, k := range slices.Sorted(mapsKeys(a.named)) {
		d.Set(k, a.named[k])
	}
	return d
}

// method returns a method of a value, or nil.
func method(of any, name string) any {
	switch of := of.(type) {
	case string:
		if f := stringMethods[name]; f != nil {
			return function(func(s *state, a arguments) any { return f(s, of, a) })
		}
	case *Dict:
		switch name {
		case "keys":
			return function(func(s *state, _ arguments) any { return s.elements(of) })
		case "items":
			return function(func(s *state, _ arguments) any { return s.items(of) })
		case "values":
			return function(func(s *state, _ arguments) any {
				s.count(len(of.keys))
				var list []any
				for _, k := range of.keys {
					list = append(list, of.values[k])
				}
				return list
			})
		case "get":
			return function(func(s *state, a arguments) any {
				key, _ := a.get(0, "key")
				if v, ok := of.get(display(key)); ok {
					return v
				}
				other, _ := a.get(1, "default")
				return other
			})
		}
	case []any:
		if name == "index" || name == "count" {
			return function(func(s *state, a arguments) any {
				want, _ := a.get(0, "value")
				if name == "index" {
					return slices.IndexFunc(of, func(v any) bool { s.step(); return equal(v, want) })
				}
				n := 0
				for _, v := range of {
					if s.step(); equal(v, want) {
						n++
					}
				}
				return n
			})
		}
	}
	return nil
}

func (s *state) items(d *Dict) []any {
	s.count(4 * len(d.keys))
	var list []any
	for _, k := range d.keys {
		list = append(list, []any{k, d.values[k]})
	}
	return list
}

// isSpace is Python's str.isspace for one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// stripped is a side of Python's strip.
func stripped(text string, a arguments, left, right bool) string {
	cut := isSpace
	if chars, ok := a.get(0, "chars"); ok && chars != nil {
		cut = func(r rune) bool { return strings.ContainsRune(display(chars), r) }
	}
	if left {
		text = strings.TrimLeftFunc(text, cut)
	}
	if right {
		text = strings.TrimRightFunc(text, cut)
	}
	return text
}

// stringMethods are Python's.
var stringMethods = map[string]func(s *state, v string, a arguments) any{
	"strip":  func(s *state, v string, a arguments) any { return stripped(v, a, true, true) },
	"lstrip": func(s *state, v string, a arguments) any { return stripped(v, a, true, false) },
	"rstrip": func(s *state, v string, a arguments) any { return stripped(v, a, false, true) },
	"upper":  func(s *state, v string, _ arguments) any { return s.made(strings.ToUpper(v)) },
	"lower":  func(s *state, v string, _ arguments) any { return s.made(strings.ToLower(v)) },
	"title":  func(s *state, v string, _ arguments) any { return s.made(title(v)) },
	"capitalize": func(s *state, v string, _ arguments) any {
		return s.made(capitalize(v))
	},
	"startswith": func(s *state, v string, a arguments) any {
		return s.anyOf(a, func(x string) bool { return strings.HasPrefix(v, x) })
	},
	"endswith": func(s *state, v string, a arguments) any {
		return s.anyOf(a, func(x string) bool { return strings.HasSuffix(v, x) })
	},
	"removeprefix": func(s *state, v string, a arguments) any {
		return strings.TrimPrefix(v, s.textOf(a, 0, "prefix"))
	},
	"removesuffix": func(s *state, v string, a arguments) any {
		return strings.TrimSuffix(v, s.textOf(a, 0, "suffix"))
	},
	"replace": func(s *state, v string, a arguments) any {
		return s.replaced(v, s.textOf(a, 0, "old"), s.textOf(a, 1, "new"), a, 2)
	},
	"find": func(s *state, v string, a arguments) any {
		return runeIndex(v, strings.Index(v, s.textOf(a, 0, "sub")))
	},
	"rfind": func(s *state, v string, a arguments) any {
		return runeIndex(v, strings.LastIndex(v, s.textOf(a, 0, "sub")))
	},
	"count":   func(s *state, v string, a arguments) any { return strings.Count(v, s.textOf(a, 0, "sub")) },
	"isdigit": func(s *state, v string, _ arguments) any { return v != "" && strings.Trim(v, "0123456789") == "" },
	"join": func(s *state, v string, a arguments) any {
		list, _ := a.get(0, "iterable")
		return s.joined(list, v)
	},
	"split": func(s *state, v string, a arguments) any { return s.split(v, a, false) },
	"rsplit": func(s *state, v string, a arguments) any {
		return s.split(v, a, true)
	},
	"splitlines": func(s *state, v string, _ arguments) any {
		return s.texts(strings.Split(strings.TrimSuffix(strings.ReplaceAll(v, "\r\n", "\n"), "\n"), "\n"))
	},
}

// anyOf tries a text, or each text of a list.
func (s *state) anyOf(a arguments, f func(string) bool) bool {
	v, _ := a.get(0, "prefix")
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(x any) bool { s.step(); return f(display(x)) })
	}
	return f(s.textOf(a, 0, "prefix"))
}

// textOf returns an argument that must be a text.
func (s *state) textOf(a arguments, i int, name string) string {
	v, _ := a.get(i, name)
	text, ok := v.(string)
	if !ok {
		s.fail("%s where a string belongs", typeName(v))
	}
	return text
}

// texts makes a list of texts.
func (s *state) texts(list []string) any {
	s.count(len(list))
	values := make([]any, len(list))
	for i, text := range list {
		values[i] = text
	}
	return values
}

// replaced is Python's replace, whose optional count is argument i.
func (s *state) replaced(text, old, new string, a arguments, i int) any {
	n := -1
	if v, ok := a.get(i, "count"); ok && v != nil {
		if n, ok = v.(int); !ok {
			s.fail("%s as a count", typeName(v))
		}
	}
	found := strings.Count(text, old)
	if n >= 0 {
		found = min(found, n)
	}
	s.reserve(len(text) + found*max(0, len(new)-len(old)))
	return strings.Replace(text, old, new, n)
}

// runeIndex turns an index of bytes into one of characters.
func runeIndex(text string, i int) any {
	if i < 0 {
		return -1
	}
	return len([]rune(text[:i]))
}

func (s *state) joined(list any, separator string) any {
	var parts []string
	size := 0
	for _, v := range s.elements(list) {
		s.step()
		parts = append(parts, display(v))
		size += len(parts[len(parts)-1]) + len(separator)
	}
	s.reserve(size)
	return strings.Join(parts, separator)
}

// split is Python's split, from the right or the left.
func (s *state) split(v string, a arguments, right bool) any {
	limit := -1
	if n, ok := a.get(1, "maxsplit"); ok {
		if limit, ok = n.(int); !ok {
			s.fail("%s as a count", typeName(n))
		}
	}
	separator, ok := a.get(0, "sep")
	if !ok || separator == nil {
		fields := strings.FieldsFunc(v, isSpace)
		if limit >= 0 && len(fields) > limit {
			s.fail("split at white space with a maximum is not supported")
		}
		return s.texts(fields)
	}
	sep := s.textOf(a, 0, "sep")
	switch {
	case sep == "":
		s.fail("split at an empty string")
	case limit < 0:
		return s.texts(strings.Split(v, sep))
	case !right:
		return s.texts(strings.SplitN(v, sep, limit+1))
	}
	parts := strings.Split(v, sep)
	if extra := len(parts) - limit - 1; extra > 0 {
		parts = append([]string{s.made(strings.Join(parts[:extra+1], sep))}, parts[extra+1:]...)
	}
	return s.texts(parts)
}

func capitalize(v string) string {
	for i := range v {
		if i > 0 {
			return strings.ToUpper(v[:i]) + strings.ToLower(v[i:])
		}
	}
	return strings.ToUpper(v)
}

func title(v string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		letter := unicode.IsLetter(r)
		defer func() { inside = letter }()
		if letter && !inside {
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, v)
}
