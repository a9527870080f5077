package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Values are nil (none), bool, int, float64, string, []any, *Dict and, within a
// template, undefined, *namespace, *macro and function.

// Dict is a mapping of strings that keeps its order.
type Dict struct {
	keys   []string
	values map[string]any
}

// NewDict returns a mapping; keys and values alternate.
func NewDict(pairs ...any) *Dict {
	d := &Dict{values: map[string]any{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		d.Set(pairs[i].(string), pairs[i+1])
	}
	return d
}

// Set sets a key.
func (d *Dict) Set(key string, value any) {
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

// undefined is what has no value.
type undefined struct{ name string }

// namespace is what {% set x.y %} may change.
type namespace struct{ *Dict }

// function is a callable.
type function func(s *state, a arguments) any

func truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// display is Python's str.
func display(v any) string {
	switch v := v.(type) {
	case undefined:
		return ""
	case string:
		return v
	}
	return represent(v, 0)
}

// represent is Python's repr, down to maxDepth.
func represent(v any, depth int) string {
	if depth > maxDepth {
		return "..."
	}
	switch v := v.(type) {
	case nil:
		return "None"
	case undefined:
		return "Undefined"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int:
		return strconv.Itoa(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e16 {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return quote(v)
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, represent(x, depth+1))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *Dict:
		var parts []string
		for _, k := range v.keys {
			parts = append(parts, quote(k)+": "+represent(v.values[k], depth+1))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "<object>"
}

// quote is Python's repr of a string.
func quote(s string) string {
	q := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, "\"") {
		q = "\""
	}
	return q + strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r", "\t", "\\t", q, "\\"+q).Replace(s) + q
}

// toJSON is json.dumps(v, ensure_ascii=False), which transformers' tojson is.
func (s *state) toJSON(v any, indent string, depth int) string {
	if depth > maxDepth {
		s.fail("JSON nested more than %d deep", maxDepth)
	}
	line := func(n int) string {
		if indent == "" {
			return ""
		}
		return "\n" + strings.Repeat(indent, n)
	}
	comma := ", "
	if indent != "" {
		comma = ","
	}
	var open, closing string
	var parts []string
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case string:
		return jsonString(v)
	case []any:
		open, closing = "[", "]"
		for _, x := range v {
			parts = append(parts, line(depth+1)+s.toJSON(x, indent, depth+1))
		}
	case *Dict:
		open, closing = "{", "}"
		for _, k := range v.keys {
			parts = append(parts, line(depth+1)+jsonString(k)+": "+s.toJSON(v.values[k], indent, depth+1))
		}
	case int, float64:
		return represent(v, 0)
	default:
		s.fail("%s is not JSON", typeName(v))
	}
	if len(parts) == 0 {
		return open + closing
	}
	return s.made(open + strings.Join(parts, comma) + line(depth) + closing)
}

func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString("\\n")
		case r == '\r':
			b.WriteString("\\r")
		case r == '\t':
			b.WriteString("\\t")
		case r == '\b':
			b.WriteString("\\b")
		case r == '\f':
			b.WriteString("\\f")
		case r < 0x20:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// equal is ==. Numbers and truth values compare as numbers, as in Python.
func equal(a, b any) bool { return equalTo(a, b, 0) }

func equalTo(a, b any, depth int) bool {
	if depth > maxDepth {
		return false
	}
	if x, ok := asFloat(a); ok {
		y, ok := asFloat(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case string:
		b, ok := b.(string)
		return ok && a == b
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equalTo(a[i], b[i], depth+1) {
				return false
			}
		}
		return true
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || len(a.keys) != len(b.keys) {
			return false
		}
		for k, v := range a.values {
			if w, ok := b.values[k]; !ok || !equalTo(v, w, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

// asFloat returns a number.
func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "none"
	case undefined:
		return "undefined"
	case bool:
		return "a truth value"
	case int, float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	case *Dict, *namespace:
		return "a mapping"
	}
	return "a function"
}

// length is len; ok is false for what has none.
func length(v any) (n int, ok bool) {
	switch v := v.(type) {
	case undefined:
		return 0, true
	case string:
		return utf8.RuneCountInString(v), true
	case []any:
		return len(v), true
	case *Dict:
		return len(v.keys), true
	}
	return 0, false
}

// elements is what a loop goes over.
func (s *state) elements(v any) []any {
	switch v := v.(type) {
	case undefined:
		return nil
	case []any:
		return v
	case string:
		var list []any
		for _, r := range v {
			list = append(list, string(r))
		}
		s.count(len(list))
		return list
	case *Dict:
		list := make([]any, len(v.keys))
		for i, k := range v.keys {
			list[i] = k
		}
		s.count(len(list))
		return list
	}
	s.fail("%s is not iterable", typeName(v))
	return nil
}
