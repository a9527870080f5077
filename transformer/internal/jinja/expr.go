package jinja

import (
	"math"
	"slices"
	"strings"
)

// expr has a value.
type expr interface{ eval(s *state) any }

type constant struct{ value any }

func (e constant) eval(*state) any { return e.value }

type variable string

func (e variable) eval(s *state) any {
	s.step()
	return s.lookup(string(e))
}

type listExpr []expr

func (e listExpr) eval(s *state) any {
	s.count(len(e))
	list := make([]any, len(e))
	for i, x := range e {
		list[i] = x.eval(s)
	}
	return list
}

type dictExpr [][2]expr

func (e dictExpr) eval(s *state) any {
	s.count(4 * len(e))
	d := NewDict()
	for _, pair := range e {
		key, ok := pair[0].eval(s).(string)
		if !ok {
			s.fail("a key of a mapping that is no string")
		}
		d.Set(key, pair[1].eval(s))
	}
	return d
}

type condExpr struct{ value, test, other expr }

func (e condExpr) eval(s *state) any {
	switch {
	case truth(e.test.eval(s)):
		return e.value.eval(s)
	case e.other == nil:
		return undefined{"a value without else"}
	}
	return e.other.eval(s)
}

type logic struct {
	left, right expr
	or          bool
}

func (e logic) eval(s *state) any {
	if left := e.left.eval(s); truth(left) == e.or {
		return left
	}
	return e.right.eval(s)
}

type notExpr struct{ value expr }

func (e notExpr) eval(s *state) any { return !truth(e.value.eval(s)) }

type comparison struct {
	op    string
	value expr
}

// compareExpr is a chain: a < b < c.
type compareExpr struct {
	first expr
	rest  []comparison
}

func (e compareExpr) eval(s *state) any {
	left := e.first.eval(s)
	for _, c := range e.rest {
		s.step()
		right := c.value.eval(s)
		if !s.compare(c.op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (s *state) compare(op string, a, b any) bool {
	switch op {
	case "==":
		return equal(a, b)
	case "!=":
		return !equal(a, b)
	case "in":
		return s.contains(b, a)
	case "not in":
		return !s.contains(b, a)
	}
	var order int
	x, isNumber := asFloat(a)
	y, both := asFloat(b)
	text, isText := a.(string)
	other, bothTexts := b.(string)
	switch {
	case isNumber && both && x < y:
		order = -1
	case isNumber && both && x > y:
		order = 1
	case isNumber && both:
	case isText && bothTexts:
		order = strings.Compare(text, other)
	default:
		s.fail("%s %s %s", typeName(a), op, typeName(b))
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// contains is "v in all".
func (s *state) contains(all, v any) bool {
	switch all := all.(type) {
	case undefined:
		return false
	case string:
		text, ok := v.(string)
		if !ok {
			s.fail("%s in a string", typeName(v))
		}
		return strings.Contains(all, text)
	case *Dict:
		key, ok := v.(string)
		return ok && slices.Contains(all.keys, key)
	case []any:
		return slices.ContainsFunc(all, func(x any) bool { s.step(); return equal(x, v) })
	}
	s.fail("in %s", typeName(all))
	return false
}

type negation struct{ value expr }

func (e negation) eval(s *state) any {
	switch v := e.value.eval(s).(type) {
	case int:
		return -v
	case float64:
		return -v
	default:
		s.fail("− %s", typeName(v))
	}
	return nil
}

type binaryExpr struct {
	op          string
	left, right expr
}

func (e binaryExpr) eval(s *state) any {
	s.step()
	a, b := e.left.eval(s), e.right.eval(s)
	if e.op == "~" {
		return s.made(display(a) + display(b))
	}
	x, isText := a.(string)
	y, bothTexts := b.(string)
	list, isList := a.([]any)
	more, bothLists := b.([]any)
	n, isInt := a.(int)
	m, bothInts := b.(int)
	switch {
	case e.op == "+" && isText && bothTexts:
		return s.made(x + y)
	case e.op == "+" && isList && bothLists:
		s.count(len(list) + len(more))
		return slices.Concat(list, more)
	case e.op == "*" && isText && bothInts:
		s.reserve(len(x) * min(max(0, m), math.MaxInt32))
		return strings.Repeat(x, max(0, m))
	case isInt && bothInts && e.op != "/":
		return s.integers(e.op, n, m)
	}
	f, isNumber := asFloat(a)
	g, both := asFloat(b)
	if !isNumber || !both || e.op == "**" {
		s.fail("%s %s %s", typeName(a), e.op, typeName(b))
	}
	switch e.op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	}
	if g == 0 {
		s.fail("a division by zero")
	}
	switch e.op {
	case "/":
		return f / g
	case "//":
		return math.Floor(f / g)
	}
	return f - g*math.Floor(f/g)
}

// integers computes with whole numbers; those beyond 2^53 are refused.
func (s *state) integers(op string, n, m int) any {
	const most = 1 << 53
	var r float64
	switch op {
	case "+":
		r = float64(n) + float64(m)
	case "-":
		r = float64(n) - float64(m)
	case "*":
		r = float64(n) * float64(m)
	case "**":
		r = math.Pow(float64(n), float64(m))
		if m < 0 {
			return r
		}
	default:
		if m == 0 {
			s.fail("a division by zero")
		}
		floor := math.Floor(float64(n) / float64(m))
		if r = floor; op == "%" {
			r = float64(n) - float64(m)*floor
		}
	}
	if math.Abs(r) > most {
		s.fail("%d %s %d is too large", n, op, m)
	}
	return int(r)
}

// item is e[key], or e.key.
type item struct {
	of, key expr
	dot     bool
}

func (e item) eval(s *state) any {
	s.step()
	of, key := e.of.eval(s), e.key.eval(s)
	if u, ok := of.(undefined); ok {
		s.fail("%q is undefined", u.name)
	}
	if i, ok := key.(int); ok {
		return s.at(of, i)
	}
	name, ok := key.(string)
	if !ok {
		s.fail("%s as a key", typeName(key))
	}
	d, isDict := of.(*Dict)
	if v, ok := d.get(name); isDict && ok && (!e.dot || method(of, name) == nil) {
		return v
	}
	switch of := of.(type) {
	case *loop:
		return of.attribute(name)
	case *namespace:
		if v, ok := of.get(name); ok {
			return v
		}
	}
	if m := method(of, name); m != nil {
		return m
	}
	return undefined{name}
}

func (d *Dict) get(key string) (any, bool) {
	if d == nil {
		return nil, false
	}
	v, ok := d.values[key]
	return v, ok
}

// at returns an element; negative places count from the end.
func (s *state) at(of any, i int) any {
	var list []any
	switch of := of.(type) {
	case []any:
		list = of
	case string:
		list = s.elements(of)
	}
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return undefined{"an element"}
	}
	return list[i]
}

// slice is e[start:stop:step].
type slice struct {
	of    expr
	parts [3]expr
}

func (e slice) eval(s *state) any {
	s.step()
	of := e.of.eval(s)
	if _, ok := of.(*Dict); ok {
		s.fail("a slice of a mapping")
	}
	list := s.elements(of)
	n, step := len(list), 1
	bound := func(i, otherwise int) int {
		if e.parts[i] == nil {
			return otherwise
		}
		v := e.parts[i].eval(s)
		k, ok := v.(int)
		switch {
		case v == nil:
			return otherwise
		case !ok:
			s.fail("%s in a slice", typeName(v))
		case i == 2:
			return k
		case k < 0:
			k += n
		}
		if step < 0 {
			return min(max(k, -1), n-1)
		}
		return min(max(k, 0), n)
	}
	if step = bound(2, 1); step == 0 {
		s.fail("a slice with steps of 0")
	}
	start, stop := bound(0, 0), bound(1, n)
	if step < 0 {
		start, stop = bound(0, n-1), bound(1, -1)
	}
	var picked []any
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		picked = append(picked, list[i])
	}
	s.count(len(picked))
	if _, ok := of.(string); ok {
		var b strings.Builder
		for _, c := range picked {
			b.WriteString(c.(string))
		}
		return b.String()
	}
	return picked
}

// arguments are the values of args.
type arguments struct {
	list  []any
	named map[string]any
}

func (a args) eval(s *state) (v arguments) {
	for _, e := range a.list {
		v.list = append(v.list, e.eval(s))
	}
	v.named = map[string]any{}
	for i, e := range a.named {
		v.named[a.names[i]] = e.eval(s)
	}
	return v
}

// get returns an argument by place or name; ok is false if it isn't given.
func (a arguments) get(i int, name string) (any, bool) {
	if i < len(a.list) {
		return a.list[i], true
	}
	v, ok := a.named[name]
	return v, ok
}

type call struct {
	of   expr
	args args
}

func (e call) eval(s *state) any {
	s.step()
	f, ok := e.of.eval(s).(function)
	if !ok {
		what := "a value"
		switch of := e.of.(type) {
		case variable:
			what = string(of)
		case item:
			if k, ok := of.key.(constant); ok {
				what = display(k.value)
			}
		}
		s.fail("%s can't be called here", what)
	}
	return f(s, e.args.eval(s))
}

type filter struct {
	value expr
	name  string
	args  args
}

func (e filter) eval(s *state) any {
	s.step()
	return filterFuncs[e.name](s, e.value.eval(s), e.args.eval(s))
}

type test struct {
	value    expr
	negative bool
	name     string
	args     args
}

func (e test) eval(s *state) any {
	s.step()
	return testFuncs[e.name](s, e.value.eval(s), e.args.eval(s)) != e.negative
}
