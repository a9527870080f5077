package torchfile

import "fmt"

// Bounds on what a pickle may make the machine hold.
const (
	maxObjects = 1 << 21
	maxStack   = 1 << 18
	maxMarks   = 1000 // the depth of nesting; CPython's picklers give up there too
)

// machine runs one pickle.
type machine struct {
	s       *scanner
	stack   []any
	marks   []int // heights of the stack
	memo    map[uint64]any
	objects int

	storages map[string]*storage // by key, all that the pickle names
	idLength int                 // of the tuple that names a storage; 0: the pickle may name none
}

// run executes a pickle up to its STOP and returns the object that it made.
func (m *machine) run() (any, error) {
	m.memo = map[uint64]any{}
	for {
		at := m.s.at
		code, err := m.s.number(1)
		if err != nil {
			return nil, err
		}
		if code == opStop {
			return m.result()
		}
		op := operations[code]
		if op == nil {
			return nil, fmt.Errorf("byte %d of the pickle: %w", at, unsupported("refused opcode %#02x %s", code, refusedOpcodes[byte(code)]))
		}
		if err := op(m); err != nil {
			return nil, fmt.Errorf("byte %d of the pickle: %w", at, err)
		}
	}
}

// result is what STOP leaves.
func (m *machine) result() (any, error) {
	if len(m.stack) != 1 || len(m.marks) != 0 {
		return nil, malformed("the pickle stops with %d objects and %d marks on its stack, want 1 and 0", len(m.stack), len(m.marks))
	}
	return m.stack[0], nil
}

func (m *machine) push(v any) error {
	m.objects++
	if m.objects > maxObjects || len(m.stack) >= maxStack {
		return malformed("more than %d objects, or %d at a time", maxObjects, maxStack)
	}
	m.stack = append(m.stack, v)
	return nil
}

// top returns the uppermost object above the last mark.
func (m *machine) top() (any, error) {
	base := 0
	if len(m.marks) > 0 {
		base = m.marks[len(m.marks)-1]
	}
	if len(m.stack) <= base {
		return nil, malformed("an object is wanted that isn't on the stack")
	}
	return m.stack[len(m.stack)-1], nil
}

func (m *machine) pop() (any, error) {
	v, err := m.top()
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

// popN takes so many objects off the stack, the lowest first.
func (m *machine) popN(n int) ([]any, error) {
	items := make([]any, n)
	for i := range n {
		v, err := m.pop()
		if err != nil {
			return nil, err
		}
		items[n-1-i] = v
	}
	return items, nil
}

// popMark takes the objects above the last mark off the stack, and the mark. The next push
// overwrites them.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, malformed("a mark is wanted that isn't on the stack")
	}
	base := m.marks[len(m.marks)-1]
	items := m.stack[base:]
	m.stack, m.marks = m.stack[:base], m.marks[:len(m.marks)-1]
	return items, nil
}

// topAs is top for an object of a type.
func topAs[T any](m *machine, what string) (T, error) {
	v, err := m.top()
	if err != nil {
		return *new(T), err
	}
	return as[T](v, what)
}

// popAs is pop for an object of a type.
func popAs[T any](m *machine, what string) (T, error) {
	v, err := topAs[T](m, what)
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

// as returns v as an object of a type.
func as[T any](v any, what string) (T, error) {
	t, ok := v.(T)
	if !ok {
		return t, malformed("%s is of type %s", what, kind(v))
	}
	return t, nil
}
