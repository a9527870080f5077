package gpu

import (
	"regexp"
	"strconv"
	"strings"
)

// maxConstDepth bounds how many constants, aliases and structs may refer to one
// another, so that a cycle ends.
const maxConstDepth = 64

// integer works out a constant expression of integers: literals, names of
// constants, brackets and + - * / % << >>. The second result is false for
// everything else.
func (m *module) integer(expression []token) (int64, bool) {
	e := evaluator{m: m, p: parser{tokens: expression}}
	v, ok := e.sum()
	return v, ok && e.p.end()
}

type evaluator struct {
	m     *module
	p     parser
	depth int
}

// sum is a chain of terms; shifts are taken as binding like + and -, which is
// unambiguous, since WGSL wants brackets around the operands of a shift.
func (e *evaluator) sum() (int64, bool) {
	v, ok := e.term()
	for ok {
		var w int64
		switch {
		case e.p.skip("+"):
			w, ok = e.term()
			v += w
		case e.p.skip("-"):
			w, ok = e.term()
			v -= w
		case e.p.peek() == "<":
			e.p.next()
			ok = e.p.skip("<")
			if ok {
				w, ok = e.term()
			}
			ok = ok && w >= 0 && w < 32
			v <<= uint64(w) & 31
		case e.p.peek() == ">":
			e.p.next()
			ok = e.p.skip(">")
			if ok {
				w, ok = e.term()
			}
			ok = ok && w >= 0 && w < 32
			v >>= uint64(w) & 31
		default:
			return v, true
		}
	}
	return 0, false
}

func (e *evaluator) term() (int64, bool) {
	v, ok := e.operand()
	for ok {
		op := e.p.peek()
		if op != "*" && op != "/" && op != "%" {
			return v, v >= -maxLayout && v <= maxLayout
		}
		e.p.next()
		var w int64
		w, ok = e.operand()
		switch {
		case op == "*":
			v *= w
		case w == 0:
			return 0, false
		case op == "/":
			v /= w
		default:
			v %= w
		}
		ok = ok && v >= -maxLayout && v <= maxLayout
	}
	return 0, false
}

func (e *evaluator) operand() (int64, bool) {
	if e.p.skip("(") {
		v, ok := e.sum()
		return v, ok && e.p.skip(")")
	}
	if e.p.end() {
		return 0, false
	}
	t := e.p.tokens[e.p.at]
	e.p.next()
	if !t.isName() {
		return literal(t.text)
	}
	if (t.text == "u32" || t.text == "i32") && e.p.peek() == "(" {
		return e.operand()
	}
	expression, ok := e.m.constants[t.text]
	if !ok || e.depth >= maxConstDepth {
		return 0, false
	}
	inner := evaluator{m: e.m, p: parser{tokens: expression}, depth: e.depth + 1}
	v, ok := inner.sum()
	return v, ok && inner.p.end()
}

func literal(s string) (int64, bool) {
	v, err := strconv.ParseUint(strings.TrimRight(s, "ui"), 0, 32)
	return int64(v), err == nil
}

// maxLayout is far above any memory that a kernel can have, and far from overflow.
const maxLayout = 1 << 40

// layout is the size and alignment in bytes of a type, and the size rounded up to
// the alignment, by https://www.w3.org/TR/WGSL/#alignment-and-size.
type layout struct{ size, align int64 }

func (l layout) stride() int64 { return roundUp(l.size, max(l.align, 1)) }

func roundUp(n, step int64) int64 { return (n + step - 1) / step * step }

var scalarLayouts = map[string]layout{"f32": {4, 4}, "u32": {4, 4}, "i32": {4, 4}, "bool": {4, 4}, "f16": {2, 2}}

// layoutOf works out the layout of a type. The second result is false for types
// without a fixed size and for those that it does not know.
func (m *module) layoutOf(kind []token, depth int) (layout, bool) {
	if len(kind) == 0 || depth > maxConstDepth {
		return layout{}, false
	}
	name := kind[0].text
	if l, ok := scalarLayouts[name]; ok {
		return l, true
	}
	if alias, ok := m.types[name]; ok {
		return m.layoutOf(alias, depth+1)
	}
	if members, ok := m.structs[name]; ok {
		return m.structLayout(members, depth+1)
	}
	args := typeArguments(kind[1:])
	switch {
	case name == "atomic" && len(args) == 1:
		return layout{4, 4}, true
	case name == "array" && len(args) == 2:
		element, ok := m.layoutOf(args[0], depth+1)
		n, known := m.integer(args[1])
		if !ok || !known || n <= 0 || n > maxLayout/element.stride() {
			return layout{}, false
		}
		return layout{n * element.stride(), element.align}, true
	}
	return m.compositeLayout(name, args, depth)
}

// composites are the vector and matrix types, with or without a suffix for the
// element: vec3f is vec3<f32>, mat4x2h is mat4x2<f16>.
var composites = regexp.MustCompile(`^(?:vec|mat([234])x)([234])([fuih]?)$`)

func (m *module) compositeLayout(name string, args [][]token, depth int) (layout, bool) {
	parts := composites.FindStringSubmatch(name)
	if parts == nil {
		return layout{}, false
	}
	element, ok := scalarLayouts[map[string]string{"f": "f32", "u": "u32", "i": "i32", "h": "f16"}[parts[3]]]
	if parts[3] == "" && len(args) == 1 {
		element, ok = m.layoutOf(args[0], depth+1)
	}
	ok = ok && element.size <= 4
	column := vector(int64(parts[2][0]-'0'), element.size)
	if parts[1] == "" {
		return column, ok
	}
	return layout{int64(parts[1][0]-'0') * column.stride(), column.align}, ok
}

// vector is the layout of a vector of n elements of size bytes.
func vector(n, size int64) layout {
	align := n * size
	if n == 3 {
		align = 4 * size
	}
	return layout{n * size, max(align, 1)}
}

func (m *module) structLayout(members [][]token, depth int) (layout, bool) {
	total := layout{0, 1}
	for _, member := range members {
		p := parser{tokens: member}
		if p.peek() == "@" {
			return layout{}, false // @size and @align are not worth the code
		}
		p.next()
		p.skip(":")
		l, ok := m.layoutOf(member[p.at:], depth)
		if !ok {
			return layout{}, false
		}
		total.align = max(total.align, l.align)
		total.size = roundUp(total.size, l.align) + l.size
	}
	total.size = total.stride()
	return total, len(members) > 0
}

// typeArguments cuts "<a, b>" at its commas.
func typeArguments(tokens []token) [][]token {
	if len(tokens) < 2 || tokens[0].text != "<" {
		return nil
	}
	var args [][]token
	start, depth := 1, 0
	for i, t := range tokens {
		switch {
		case t.text == "<":
			depth++
		case t.text == ">":
			depth--
		}
		if depth == 0 || depth == 1 && t.text == "," {
			if i > start {
				args = append(args, tokens[start:i])
			}
			start = i + 1
		}
		if depth == 0 {
			break
		}
	}
	return args
}
