package jinja

import (
	"fmt"
	"slices"
	"strconv"
)

// parser turns tokens into nodes.
type parser struct {
	tokens []token
	at     int
	depth  int
	loops  int // that the parser is in
}

// maxDepth bounds nesting, of what is written and of what macros call.
const maxDepth = 100

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

func (p *parser) is(k kind, text string) bool { return p.peek().kind == k && p.peek().text == text }

func (p *parser) accept(k kind, text string) bool {
	if p.is(k, text) {
		p.at++
		return true
	}
	return false
}

// failure is a parse error on its way up, or one of evaluation.
type failure struct{ error }

func (p *parser) fail(format string, args ...any) {
	panic(failure{fmt.Errorf("line %d: %s: %w", p.peek().line, fmt.Sprintf(format, args...), ErrTemplate)})
}

func (p *parser) expect(k kind, text string) token {
	if !p.is(k, text) && (text != "" || p.peek().kind != k) {
		p.fail("%q where %q belongs", p.peek().text, text)
	}
	return p.next()
}

// nest counts nesting; the caller undoes it.
func (p *parser) nest() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail("nested more than %d deep", maxDepth)
	}
	return func() { p.depth-- }
}

// body parses up to a block tag with one of the names, which it takes; with none, to
// the end.
func (p *parser) body(until ...string) (list []node, tag string) {
	defer p.nest()()
	for {
		switch t := p.next(); t.kind {
		case end:
			if len(until) > 0 {
				p.fail("the end where %q belongs", until[len(until)-1])
			}
			return list, ""
		case text:
			list = append(list, output{constant{t.text}})
		case beginVar:
			list = append(list, output{p.tuple()})
			p.expect(endVar, "")
		case beginBlock:
			tag := p.expect(name, "").text
			if slices.Contains(until, tag) {
				return list, tag
			}
			list = append(list, p.statement(tag))
		default:
			p.fail("%q outside of a tag", t.text)
		}
	}
}

func (p *parser) statement(tag string) node {
	switch tag {
	case "if":
		return p.ifs()
	case "for":
		return p.loop()
	case "set":
		return p.set()
	case "macro":
		return p.macro()
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%s outside of a loop", tag)
		}
		p.expect(endBlock, "")
		return jump(tag)
	case "generation":
		p.expect(endBlock, "")
		list, _ := p.body("endgeneration")
		p.expect(endBlock, "")
		return group(list)
	case "with":
		return p.with()
	}
	p.fail("the tag %q is not supported", tag)
	return nil
}

func (p *parser) ifs() node {
	var s ifNode
	for tag := "if"; ; {
		var b branch
		if tag != "else" {
			b.test = p.expression()
		}
		p.expect(endBlock, "")
		until := []string{"elif", "else", "endif"}
		if tag == "else" {
			until = until[2:]
		}
		b.body, tag = p.body(until...)
		s = append(s, b)
		if tag == "endif" {
			p.expect(endBlock, "")
			return s
		}
	}
}

func (p *parser) loop() node {
	s := &forNode{names: p.names("in")}
	s.over = p.or() // an "if" behind it is the loop's
	if p.accept(name, "if") {
		s.filter = p.expression()
	}
	if p.is(name, "recursive") {
		p.fail("recursive loops are not supported")
	}
	p.expect(endBlock, "")
	p.loops++
	var tag string
	if s.body, tag = p.body("else", "endfor"); tag == "else" {
		p.expect(endBlock, "")
		s.empty, _ = p.body("endfor")
	}
	p.loops--
	p.expect(endBlock, "")
	return s
}

// names parses names with commas between, up to a word or operator.
func (p *parser) names(until string) []string {
	paren := p.accept(operator, "(")
	list := []string{p.expect(name, "").text}
	for p.accept(operator, ",") {
		list = append(list, p.expect(name, "").text)
	}
	if paren {
		p.expect(operator, ")")
	}
	if !p.accept(name, until) && !p.accept(operator, until) {
		p.fail("%q where %q belongs", p.peek().text, until)
	}
	return list
}

func (p *parser) set() node {
	first := p.expect(name, "").text
	s := setNode{names: []string{first}}
	switch {
	case p.accept(operator, "."):
		s.attr = p.expect(name, "").text
	case p.is(operator, ","):
		p.at--
		s.names = p.names("=")
		s.value = p.tuple()
		p.expect(endBlock, "")
		return s
	case p.accept(endBlock, ""):
		s.body, _ = p.body("endset")
		p.expect(endBlock, "")
		return s
	}
	p.expect(operator, "=")
	s.value = p.tuple()
	p.expect(endBlock, "")
	return s
}

func (p *parser) with() node {
	s := withNode{}
	for p.peek().kind == name {
		s.names = append(s.names, p.next().text)
		p.expect(operator, "=")
		s.values = append(s.values, p.expression())
		p.accept(operator, ",")
	}
	p.expect(endBlock, "")
	s.body, _ = p.body("endwith")
	p.expect(endBlock, "")
	return s
}

func (p *parser) macro() node {
	m := &macro{name: p.expect(name, "").text}
	p.expect(operator, "(")
	for !p.accept(operator, ")") {
		m.params = append(m.params, p.expect(name, "").text)
		var value expr
		if p.accept(operator, "=") {
			value = p.expression()
		}
		m.defaults = append(m.defaults, value)
		if !p.is(operator, ")") {
			p.expect(operator, ",")
		}
	}
	p.expect(endBlock, "")
	loops := p.loops
	p.loops = 0
	m.body, _ = p.body("endmacro")
	p.loops = loops
	p.expect(endBlock, "")
	return m
}

// tuple parses expressions; commas between make a list of them.
func (p *parser) tuple() expr {
	first := p.expression()
	if !p.is(operator, ",") {
		return first
	}
	list := listExpr{first}
	for p.accept(operator, ",") {
		if t := p.peek(); t.kind == endVar || t.kind == endBlock || t.text == ")" && t.kind == operator {
			break
		}
		list = append(list, p.expression())
	}
	return list
}

func (p *parser) expression() expr {
	defer p.nest()()
	value := p.or()
	for p.accept(name, "if") {
		c := condExpr{value: value, test: p.or()}
		if p.accept(name, "else") {
			c.other = p.expression()
		}
		value = c
	}
	return value
}

func (p *parser) or() expr {
	left := p.and()
	for p.accept(name, "or") {
		left = logic{left: left, right: p.and(), or: true}
	}
	return left
}

func (p *parser) and() expr {
	left := p.not()
	for p.accept(name, "and") {
		left = logic{left: left, right: p.not()}
	}
	return left
}

func (p *parser) not() expr {
	if p.accept(name, "not") {
		defer p.nest()()
		return notExpr{p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	left := p.sum()
	var list []comparison
	for {
		t := p.peek()
		op := t.text
		switch {
		case t.kind == operator && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, op), t.kind == name && op == "in":
			p.at++
		case t.kind == name && op == "not" && p.tokens[p.at+1].kind == name && p.tokens[p.at+1].text == "in":
			p.at += 2
			op = "not in"
		case list == nil:
			return left
		default:
			return compareExpr{left, list}
		}
		list = append(list, comparison{op, p.sum()})
	}
}

// levels are the operators of two operands, those that bind least first.
var levels = [][]string{{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}}

func (p *parser) sum() expr { return p.binary(0) }

func (p *parser) binary(level int) expr {
	if level == len(levels) {
		return p.unary(true)
	}
	left := p.binary(level + 1)
	for p.peek().kind == operator && slices.Contains(levels[level], p.peek().text) {
		op := p.next().text
		left = binaryExpr{op, left, p.binary(level + 1)}
	}
	return left
}

func (p *parser) unary(filtered bool) expr {
	defer p.nest()()
	var e expr
	switch {
	case p.accept(operator, "-"):
		e = negation{p.unary(false)}
	case p.accept(operator, "+"):
		e = p.unary(false)
	default:
		e = p.postfix(p.primary())
	}
	if filtered {
		e = p.filters(e)
	}
	return e
}

func (p *parser) primary() expr {
	switch t := p.next(); t.kind {
	case str:
		value := t.text
		for p.peek().kind == str {
			value += p.next().text
		}
		return constant{value}
	case number:
		if n, err := strconv.ParseInt(t.text, 10, 64); err == nil {
			return constant{int(n)}
		}
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			p.fail("%q is no number", t.text)
		}
		return constant{f}
	case name:
		switch t.text {
		case "true", "True":
			return constant{true}
		case "false", "False":
			return constant{false}
		case "none", "None":
			return constant{nil}
		}
		return variable(t.text)
	case operator:
		switch t.text {
		case "(":
			if p.accept(operator, ")") {
				return listExpr{}
			}
			e := p.tuple()
			p.expect(operator, ")")
			return e
		case "[":
			list := listExpr{}
			for !p.accept(operator, "]") {
				list = append(list, p.expression())
				if !p.is(operator, "]") {
					p.expect(operator, ",")
				}
			}
			return list
		case "{":
			return p.dict()
		}
	}
	p.at--
	p.fail("%q where a value belongs", p.peek().text)
	return nil
}

func (p *parser) dict() expr {
	d := dictExpr{}
	for !p.accept(operator, "}") {
		key := p.expression()
		p.expect(operator, ":")
		d = append(d, [2]expr{key, p.expression()})
		if !p.is(operator, "}") {
			p.expect(operator, ",")
		}
	}
	return d
}

// postfix parses attributes, items and calls.
func (p *parser) postfix(e expr) expr {
	for range maxDepth {
		switch {
		case p.accept(operator, "."):
			if p.peek().kind == number {
				e = item{e, p.primary(), false}
				continue
			}
			e = item{e, constant{p.expect(name, "").text}, true}
		case p.accept(operator, "["):
			e = p.subscript(e)
		case p.accept(operator, "("):
			e = call{e, p.arguments()}
		default:
			return e
		}
	}
	p.fail("more than %d attributes and calls in a row", maxDepth)
	return nil
}

func (p *parser) subscript(e expr) expr {
	var parts [3]expr
	n := 0
	for !p.is(operator, "]") {
		if p.accept(operator, ":") {
			if n++; n > 2 {
				p.fail("a slice of more than three parts")
			}
			continue
		}
		if parts[n] != nil {
			p.fail("%q where ] belongs", p.peek().text)
		}
		parts[n] = p.tuple()
	}
	p.at++
	if n > 0 {
		return slice{e, parts}
	}
	if parts[0] == nil {
		p.fail("nothing between [ and ]")
	}
	return item{e, parts[0], false}
}

// args are those of a call.
type args struct {
	list  []expr
	names []string // of named
	named []expr
}

func (p *parser) arguments() (a args) {
	for !p.accept(operator, ")") {
		if p.peek().kind == name && p.tokens[p.at+1].kind == operator && p.tokens[p.at+1].text == "=" {
			a.names = append(a.names, p.next().text)
			p.at++
			a.named = append(a.named, p.expression())
		} else {
			a.list = append(a.list, p.expression())
		}
		if !p.is(operator, ")") {
			p.expect(operator, ",")
		}
	}
	return a
}

// filters parses "| filter" and "is test".
func (p *parser) filters(e expr) expr {
	for range maxDepth {
		switch {
		case p.accept(operator, "|"):
			f := filter{e, p.expect(name, "").text, args{}}
			if filterFuncs[f.name] == nil {
				p.fail("the filter %q is not supported", f.name)
			}
			if p.accept(operator, "(") {
				f.args = p.arguments()
			}
			e = f
		case p.accept(name, "is"):
			t := test{value: e, negative: p.accept(name, "not"), name: p.testName()}
			switch next := p.peek(); {
			case p.accept(operator, "("):
				t.args = p.arguments()
			case next.kind == str || next.kind == number || next.kind == operator && (next.text == "[" || next.text == "{") ||
				next.kind == name && !slices.Contains([]string{"else", "or", "and", "is", "if", "not", "in"}, next.text):
				t.args.list = []expr{p.postfix(p.primary())}
			}
			e = t
		default:
			return e
		}
	}
	p.fail("more than %d filters in a row", maxDepth)
	return nil
}

func (p *parser) testName() string {
	t := p.next()
	if t.kind != name || testFuncs[t.text] == nil {
		p.at--
		p.fail("the test %q is not supported", t.text)
	}
	return t.text
}
