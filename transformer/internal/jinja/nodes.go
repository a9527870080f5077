package jinja

// node is a part of a template that prints.
type node interface{ run(s *state) }

func (s *state) run(list []node) {
	for _, n := range list {
		s.step()
		if n.run(s); s.jump != "" {
			return
		}
	}
}

// output prints a value.
type output struct{ value expr }

func (n output) run(s *state) { s.out.WriteString(s.made(display(n.value.eval(s)))) }

// group is nodes without a scope of their own.
type group []node

func (n group) run(s *state) { s.run(n) }

// jump is break or continue.
type jump string

func (n jump) run(s *state) { s.jump = n }

// ifNode is branches, the last perhaps without a test.
type ifNode []branch

type branch struct {
	test expr
	body []node
}

func (n ifNode) run(s *state) {
	for _, b := range n {
		if b.test == nil || truth(b.test.eval(s)) {
			s.run(b.body)
			return
		}
	}
}

type forNode struct {
	names       []string
	over        expr
	filter      expr // may be nil
	body, empty []node
}

func (n *forNode) run(s *state) {
	list := s.elements(n.over.eval(s))
	if n.filter != nil {
		var kept []any
		for _, v := range list {
			s.inner(func() {
				s.step()
				if s.assign(n.names, v); truth(n.filter.eval(s)) {
					kept = append(kept, v)
				}
			})
		}
		s.count(len(kept))
		list = kept
	}
	if len(list) == 0 {
		s.inner(func() { s.run(n.empty) })
		return
	}
	loop := &loop{list: list}
	for i, v := range list {
		loop.at = i
		s.inner(func() {
			s.step()
			s.scope.values["loop"] = loop
			s.assign(n.names, v)
			s.run(n.body)
		})
		if jumped := s.jump; jumped != "" {
			if s.jump = ""; jumped == "break" {
				return
			}
		}
	}
}

// loop is the variable of that name.
type loop struct {
	list []any
	at   int
	last any // given to changed
	seen bool
}

func (l *loop) attribute(name string) any {
	n := len(l.list)
	neighbour := func(i int) any {
		if i < 0 || i >= n {
			return undefined{name}
		}
		return l.list[i]
	}
	switch name {
	case "index":
		return l.at + 1
	case "index0":
		return l.at
	case "revindex":
		return n - l.at
	case "revindex0":
		return n - l.at - 1
	case "first":
		return l.at == 0
	case "last":
		return l.at == n-1
	case "length":
		return n
	case "previtem":
		return neighbour(l.at - 1)
	case "nextitem":
		return neighbour(l.at + 1)
	case "cycle":
		return function(func(s *state, a arguments) any {
			if len(a.list) == 0 {
				s.fail("loop.cycle of nothing")
			}
			return a.list[l.at%len(a.list)]
		})
	case "changed":
		return function(func(s *state, a arguments) any {
			changed := !l.seen || !equal(l.last, a.list)
			l.last, l.seen = a.list, true
			return changed
		})
	}
	return undefined{"loop." + name}
}

// assign sets names to a value, or to the elements of one.
func (s *state) assign(names []string, v any) {
	if len(names) == 1 {
		s.scope.values[names[0]] = v
		return
	}
	list := s.elements(v)
	if len(list) != len(names) {
		s.fail("%d values for %d names", len(list), len(names))
	}
	for i, n := range names {
		s.scope.values[n] = list[i]
	}
}

// setNode sets names, or an attribute of a namespace, to a value or what body prints.
type setNode struct {
	names []string
	attr  string
	value expr
	body  []node
}

func (n setNode) run(s *state) {
	var v any
	if n.value != nil {
		v = n.value.eval(s)
	} else {
		v = s.captured(func() { s.inner(func() { s.run(n.body) }) })
	}
	if n.attr == "" {
		s.assign(n.names, v)
		return
	}
	space, ok := s.lookup(n.names[0]).(*namespace)
	if !ok {
		s.fail("%s is no namespace", n.names[0])
	}
	space.Set(n.attr, v)
}

type withNode struct {
	names  []string
	values []expr
	body   []node
}

func (n withNode) run(s *state) {
	var values []any
	for _, e := range n.values {
		values = append(values, e.eval(s))
	}
	s.inner(func() {
		for i, name := range n.names {
			s.scope.values[name] = values[i]
		}
		s.run(n.body)
	})
}

// macro is a function that returns what its body prints.
type macro struct {
	name     string
	params   []string
	defaults []expr // nil: none
	body     []node
}

func (m *macro) run(s *state) {
	outer := s.scope
	s.scope.values[m.name] = function(func(s *state, a arguments) any {
		if len(a.list) > len(m.params) {
			s.fail("macro %s: %d arguments for %d", m.name, len(a.list), len(m.params))
		}
		caller := s.scope
		s.scope = outer
		text := s.captured(func() {
			s.inner(func() {
				for i, name := range m.params {
					switch v, named := a.named[name]; {
					case i < len(a.list):
						s.scope.values[name] = a.list[i]
					case named:
						s.scope.values[name] = v
					case m.defaults[i] != nil:
						s.scope.values[name] = m.defaults[i].eval(s)
					default:
						s.scope.values[name] = undefined{name}
					}
				}
				s.run(m.body)
			})
		})
		s.scope = caller
		return text
	})
}
