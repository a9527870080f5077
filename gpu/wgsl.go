package gpu

import (
	"fmt"
	"slices"
)

// module is what this package needs to know of a WGSL module: its globals by name,
// and which names its functions mention.
type module struct {
	variables map[string]variable
	functions map[string]function
	constants map[string][]token // the expression
	types     map[string][]token // of aliases
	structs   map[string][][]token
}

// variable is a module-scope var.
type variable struct {
	name           string
	space, access  string // "storage", "read"; of var<workgroup> and others the access is ""
	kind           []token
	group, binding []token // expressions of the attributes
	line           int
}

type function struct {
	compute       bool
	workgroupSize [][]token // up to three expressions
	names         []string  // identifiers in signature and body
}

// parseModule reads the declarations of a module. It trusts that the native
// compiler finds what is wrong with them, and only has to understand modules that
// this compiler accepts.
func parseModule(source string) (*module, error) {
	tokens, err := scan(source)
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("the source is empty")
	}
	if err := checkDepth(source, tokens); err != nil {
		return nil, err
	}
	m := &module{
		variables: map[string]variable{}, functions: map[string]function{},
		constants: map[string][]token{}, types: map[string][]token{}, structs: map[string][][]token{},
	}
	p := parser{tokens: tokens}
	for !p.end() {
		m.declaration(&p)
	}
	return m, nil
}

// parser is a position in a list of tokens.
type parser struct {
	tokens []token
	at     int
	angles bool // < and > are brackets too: true where there are types and no comparisons
}

func (p *parser) end() bool { return p.at >= len(p.tokens) }

// peek returns the text of the next token, "" at the end.
func (p *parser) peek() string {
	if p.end() {
		return ""
	}
	return p.tokens[p.at].text
}

// next returns the text of the next token, "" at the end, and moves past it.
func (p *parser) next() string {
	s := p.peek()
	p.at = min(p.at+1, len(p.tokens))
	return s
}

// skip moves past the next token if it is s.
func (p *parser) skip(s string) bool {
	if p.peek() != s {
		return false
	}
	p.at++
	return true
}

// until returns the tokens before the first of the stops that is in no bracket.
// The position is then at that stop.
func (p *parser) until(stops ...string) []token {
	start, depth := p.at, 0
	for ; !p.end(); p.at++ {
		switch t := p.tokens[p.at].text; {
		case depth == 0 && slices.Contains(stops, t):
			return p.tokens[start:p.at]
		case t == "(" || t == "[" || t == "{" || p.angles && t == "<":
			depth++
		case t == ")" || t == "]" || t == "}" || p.angles && t == ">":
			depth--
		}
	}
	return p.tokens[start:]
}

// list returns the parts of "(a, b, c)" between commas, and moves past it.
func (p *parser) list(open, closing string) [][]token {
	if !p.skip(open) {
		return nil
	}
	var parts [][]token
	for !p.end() && !p.skip(closing) {
		parts = append(parts, p.until(",", closing))
		p.skip(",")
	}
	return parts
}

func (m *module) declaration(p *parser) {
	attributes := map[string][][]token{}
	for p.skip("@") {
		name := p.next()
		attributes[name] = append([][]token{}, p.list("(", ")")...)
	}
	switch line := p.at; p.next() {
	case "var":
		v := variable{line: p.tokens[line].line, group: first(attributes["group"]), binding: first(attributes["binding"])}
		if p.skip("<") {
			v.space = p.next()
			if p.skip(",") {
				v.access = p.next()
			}
			p.until(">")
			p.skip(">")
		}
		v.name = p.next()
		if p.skip(":") {
			v.kind = p.until("=", ";")
		}
		p.until(";")
		m.variables[v.name] = v
	case "const":
		name := p.next()
		p.until("=", ";")
		if p.skip("=") {
			m.constants[name] = p.until(";")
		}
	case "alias":
		name := p.next()
		p.skip("=")
		m.types[name] = p.until(";")
	case "struct":
		name := p.next()
		p.angles = true
		m.structs[name] = p.list("{", "}")
		p.angles = false
	case "fn":
		name := p.next()
		f := function{workgroupSize: attributes["workgroup_size"]}
		_, f.compute = attributes["compute"]
		start := p.at
		p.until("{")
		p.skip("{")
		p.until("}")
		p.skip("}")
		for _, t := range p.tokens[start:p.at] {
			if t.isName() {
				f.names = append(f.names, t.text)
			}
		}
		m.functions[name] = f
	}
	p.skip(";")
}

func first(list [][]token) []token {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// used returns the variables that a function mentions, directly or through the
// functions it mentions.
func (m *module) used(entry string) []variable {
	var list []variable
	seen := map[string]bool{entry: true}
	for todo := []string{entry}; len(todo) > 0; {
		f := m.functions[todo[0]]
		todo = todo[1:]
		for _, name := range f.names {
			if seen[name] {
				continue
			}
			seen[name] = true
			if v, ok := m.variables[name]; ok {
				list = append(list, v)
			} else if _, ok := m.functions[name]; ok {
				todo = append(todo, name)
			}
		}
	}
	return list
}
