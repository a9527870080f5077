package jinja

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

func mapsKeys(m map[string]any) iter.Seq[string] { return maps.Keys(m) }

type filterFunc = func(s *state, v any, a arguments) any

// filterFuncs and testFuncs are set in init, because they refer to each other.
var (
	filterFuncs map[string]filterFunc
	testFuncs   map[string]func(s *state, v any, a arguments) bool
)

func init() {
	textFilter := func(name string) filterFunc {
		return func(s *state, v any, a arguments) any { return stringMethods[name](s, display(v), a) }
	}
	length := func(s *state, v any, _ arguments) any {
		n, ok := length(v)
		if !ok {
			s.fail("%s has no length", typeName(v))
		}
		return n
	}
	orElse := func(s *state, v any, a arguments) any {
		other, ok := a.get(0, "default_value")
		if !ok {
			other = ""
		}
		falsy, _ := a.get(1, "boolean")
		if _, missing := v.(undefined); missing || truth(falsy) && !truth(v) {
			return other
		}
		return v
	}
	filterFuncs = map[string]filterFunc{
		"trim": textFilter("strip"), "upper": textFilter("upper"), "lower": textFilter("lower"),
		"capitalize": textFilter("capitalize"), "title": textFilter("title"),
		"length": length, "count": length, "default": orElse, "d": orElse,
		"safe":   func(_ *state, v any, _ arguments) any { return v },
		"string": func(s *state, v any, _ arguments) any { return s.made(display(v)) },
		"list":   func(s *state, v any, _ arguments) any { return s.elements(v) },
		"items": func(s *state, v any, _ arguments) any {
			d, ok := v.(*Dict)
			if _, missing := v.(undefined); missing {
				return []any(nil)
			}
			if !ok {
				s.fail("items of %s", typeName(v))
			}
			return s.items(d)
		},
		"dictsort": func(s *state, v any, _ arguments) any {
			d, ok := v.(*Dict)
			if !ok {
				s.fail("dictsort of %s", typeName(v))
			}
			list := s.items(d)
			slices.SortFunc(list, func(a, b any) int {
				return strings.Compare(strings.ToLower(a.([]any)[0].(string)), strings.ToLower(b.([]any)[0].(string)))
			})
			return list
		},
		"first": func(s *state, v any, _ arguments) any { return s.at(s.elements(v), 0) },
		"last":  func(s *state, v any, _ arguments) any { return s.at(s.elements(v), -1) },
		"reverse": func(s *state, v any, _ arguments) any {
			list := slices.Clone(s.elements(v))
			s.count(len(list))
			slices.Reverse(list)
			if _, ok := v.(string); ok {
				return s.joined(list, "")
			}
			return list
		},
		"join": func(s *state, v any, a arguments) any {
			separator, _ := a.get(0, "d")
			if separator == nil {
				separator = ""
			}
			if attr, ok := a.get(1, "attribute"); ok {
				v = s.attributes(v, display(attr))
			}
			return s.joined(v, display(separator))
		},
		"replace": func(s *state, v any, a arguments) any {
			return s.replaced(display(v), s.textOf(a, 0, "old"), s.textOf(a, 1, "new"), a, 2)
		},
		"tojson": func(s *state, v any, a arguments) any {
			indent := ""
			if n, ok := a.get(0, "indent"); ok && n != nil {
				k, ok := n.(int)
				if !ok || k < 0 || k > 16 {
					s.fail("tojson with an indent of %s", display(n))
				}
				indent = strings.Repeat(" ", k)
			}
			return s.toJSON(v, indent, 0)
		},
		"int":   toInt,
		"float": func(s *state, v any, a arguments) any { return toFloat(v) },
		"abs": func(s *state, v any, _ arguments) any {
			switch v := v.(type) {
			case int:
				return max(v, -v)
			case float64:
				return math.Abs(v)
			}
			s.fail("abs of %s", typeName(v))
			return nil
		},
		"indent": func(s *state, v any, a arguments) any {
			width, _ := a.get(0, "width")
			n, ok := width.(int)
			if !ok {
				n = 4
			}
			if n < 0 || n > 256 {
				s.fail("indent by %d", n)
			}
			text := s.replaced(display(v), "\n", "\n"+strings.Repeat(" ", n), arguments{}, 0).(string)
			if first, _ := a.get(1, "first"); truth(first) {
				text = strings.Repeat(" ", n) + text
			}
			return text
		},
		"map": func(s *state, v any, a arguments) any {
			if attr, ok := a.named["attribute"]; ok {
				return s.attributes(v, display(attr))
			}
			f := filterFuncs[s.textOf(a, 0, "filter")]
			if f == nil {
				s.fail("map with a filter that is not supported")
			}
			var list []any
			for _, x := range s.elements(v) {
				s.step()
				list = append(list, f(s, x, arguments{list: a.list[1:]}))
			}
			s.count(len(list))
			return list
		},
		"select":     selecting(false, false),
		"reject":     selecting(false, true),
		"selectattr": selecting(true, false),
		"rejectattr": selecting(true, true),
		"unique": func(s *state, v any, _ arguments) any {
			var list []any
			for _, x := range s.elements(v) {
				if s.step(); !s.contains(append([]any(nil), list...), x) {
					list = append(list, x)
				}
			}
			return list
		},
		"sort": func(s *state, v any, a arguments) any {
			list := slices.Clone(s.elements(v))
			s.count(len(list))
			attr, byAttr := a.named["attribute"]
			key := func(x any) any {
				if byAttr {
					x = s.attribute(x, display(attr))
				}
				if text, ok := x.(string); ok {
					return strings.ToLower(text)
				}
				return x
			}
			slices.SortStableFunc(list, func(x, y any) int {
				s.step()
				switch kx, ky := key(x), key(y); {
				case s.compare("<", kx, ky):
					return -1
				case s.compare(">", kx, ky):
					return 1
				}
				return 0
			})
			return list
		},
	}
	testFuncs = tests()
}

// selecting makes the filters that choose elements by a test.
func selecting(byAttr, reject bool) filterFunc {
	return func(s *state, v any, a arguments) any {
		rest := a.list
		attr := ""
		if byAttr {
			attr = s.textOf(a, 0, "attribute")
			rest = rest[1:]
		}
		keep := func(_ *state, x any, _ arguments) bool { return truth(x) }
		if len(rest) > 0 {
			if keep = testFuncs[display(rest[0])]; keep == nil {
				s.fail("the test %q is not supported", display(rest[0]))
			}
			rest = rest[1:]
		}
		var list []any
		for _, x := range s.elements(v) {
			s.step()
			value := x
			if byAttr {
				value = s.attribute(x, attr)
			}
			if keep(s, value, arguments{list: rest}) != reject {
				list = append(list, x)
			}
		}
		s.count(len(list))
		return list
	}
}

// attribute is x.name, for names with dots as well.
func (s *state) attribute(x any, name string) any {
	for part := range strings.SplitSeq(name, ".") {
		x = item{constant{x}, constant{part}, false}.eval(s)
	}
	return x
}

func (s *state) attributes(v any, name string) any {
	var list []any
	for _, x := range s.elements(v) {
		list = append(list, s.attribute(x, name))
	}
	s.count(len(list))
	return list
}

func toInt(s *state, v any, a arguments) any {
	other, ok := a.get(0, "default")
	if !ok {
		other = 0
	}
	switch v := v.(type) {
	case int:
		return v
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n
		}
	}
	if f := toFloat(v); math.Abs(f) < 1<<53 && f != 0 {
		return int(f)
	}
	return other
}

func toFloat(v any) float64 {
	if text, ok := v.(string); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return 0
		}
		return f
	}
	f, _ := asFloat(v)
	return f
}

func tests() map[string]func(s *state, v any, a arguments) bool {
	type testFunc = func(s *state, v any, a arguments) bool
	is := func(f func(v any) bool) testFunc { return func(_ *state, v any, _ arguments) bool { return f(v) } }
	compared := func(op string) testFunc {
		return func(s *state, v any, a arguments) bool {
			other, ok := a.get(0, "other")
			if !ok {
				s.fail("a test that needs a value to compare with")
			}
			return s.compare(op, v, other)
		}
	}
	remainder := func(s *state, v any, by int) int {
		n, ok := v.(int)
		if !ok || by == 0 {
			s.fail("%s as a whole number", typeName(v))
		}
		return n % by
	}
	t := map[string]testFunc{
		"defined":   is(func(v any) bool { _, missing := v.(undefined); return !missing }),
		"undefined": is(func(v any) bool { _, missing := v.(undefined); return missing }),
		"none":      is(func(v any) bool { return v == nil }),
		"string":    is(func(v any) bool { _, ok := v.(string); return ok }),
		"boolean":   is(func(v any) bool { _, ok := v.(bool); return ok }),
		"integer":   is(func(v any) bool { _, ok := v.(int); return ok }),
		"float":     is(func(v any) bool { _, ok := v.(float64); return ok }),
		"number":    is(func(v any) bool { _, ok := asFloat(v); return ok }),
		"true":      is(func(v any) bool { return v == true }),
		"false":     is(func(v any) bool { return v == false }),
		"mapping":   is(func(v any) bool { _, ok := v.(*Dict); return ok }),
		"callable":  is(func(v any) bool { _, ok := v.(function); return ok }),
		"iterable":  is(func(v any) bool { _, ok := length(v); return ok }),
		"sequence":  is(func(v any) bool { _, ok := length(v); return ok }),
		"lower":     is(func(v any) bool { text := display(v); return strings.ToLower(text) == text }),
		"upper":     is(func(v any) bool { text := display(v); return strings.ToUpper(text) == text }),
		"odd":       func(s *state, v any, _ arguments) bool { return remainder(s, v, 2) != 0 },
		"even":      func(s *state, v any, _ arguments) bool { return remainder(s, v, 2) == 0 },
		"divisibleby": func(s *state, v any, a arguments) bool {
			by, _ := a.get(0, "num")
			n, _ := by.(int)
			return remainder(s, v, n) == 0
		},
		"in": compared("in"),
	}
	for op, names := range map[string]string{"==": "eq equalto sameas", "!=": "ne", ">": "gt greaterthan", "<": "lt lessthan", ">=": "ge", "<=": "le"} {
		t[op] = compared(op) // as an argument of selectattr
		for name := range strings.FieldsSeq(names) {
			t[name] = compared(op)
		}
	}
	return t
}

// strftime formats a time as C does, for the directives that dates need.
func strftime(t time.Time, format string) string {
	layouts := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'F': "2006-01-02", 'T': "15:04:05", 'Z': "MST", 'z': "-0700", 'j': "002", 'e': "_2",
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		if format[i] == '-' && i+1 < len(format) { // glibc: without a leading zero
			i++
			b.WriteString(cmp.Or(strings.TrimLeft(t.Format(layouts[format[i]]), "0"), "0"))
			continue
		}
		switch layout, ok := layouts[format[i]]; {
		case ok:
			b.WriteString(t.Format(layout))
		case format[i] == '%':
			b.WriteByte('%')
		default:
			b.WriteByte('%')
			b.WriteByte(format[i])
		}
	}
	return b.String()
}
