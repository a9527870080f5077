package torchfile

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
)

func (m *machine) proto() error {
	version, err := m.s.number(1)
	if err == nil && (version < 2 || version > 5) {
		return unsupported("pickle protocol %d (known: 2 to 5)", version)
	}
	return err
}

// frame announces how many bytes follow. They are read as they come.
func (m *machine) frame() error {
	n, err := m.s.number(8)
	if err != nil {
		return err
	}
	return m.s.need(n)
}

func (m *machine) mark() error {
	if len(m.marks) >= maxMarks {
		return malformed("the pickle nests deeper than %d", maxMarks)
	}
	m.marks = append(m.marks, len(m.stack))
	return nil
}

func constant(v any) func(*machine) error {
	return func(m *machine) error { return m.push(v) }
}

func unsigned(width int) func(*machine) error {
	return func(m *machine) error {
		n, err := m.s.number(width)
		if err != nil {
			return err
		}
		return m.push(int64(n))
	}
}

func (m *machine) int32() error {
	n, err := m.s.number(4)
	if err != nil {
		return err
	}
	return m.push(int64(int32(n)))
}

// long reads an integer in two's complement.
func (m *machine) long() error {
	b, err := m.s.counted(1)
	if err != nil {
		return err
	}
	if len(b) > 8 {
		return m.push(long(b))
	}
	var wide [8]byte
	copy(wide[:], b)
	free := 64 - 8*len(b)
	return m.push(int64(binary.LittleEndian.Uint64(wide[:])) << free >> free)
}

// float reads the only big-endian number of the format.
func (m *machine) float() error {
	n, err := m.s.number(8)
	if err != nil {
		return err
	}
	return m.push(math.Float64frombits(bits.ReverseBytes64(n)))
}

func text(width int) func(*machine) error {
	return func(m *machine) error {
		s, err := m.s.text(width)
		if err != nil {
			return err
		}
		return m.push(s)
	}
}

// skipped reads bytes that nothing here needs.
func skipped(width int) func(*machine) error {
	return func(m *machine) error {
		if _, err := m.s.counted(width); err != nil {
			return err
		}
		return m.push(opaque{})
	}
}

func tupleOf(n int) func(*machine) error {
	return func(m *machine) error {
		items, err := m.popN(n)
		if err != nil {
			return err
		}
		return m.push(&tuple{items})
	}
}

func (m *machine) tuple() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.push(&tuple{slices.Clone(items)})
}

func (m *machine) emptyList() error { return m.push(&list{}) }

func (m *machine) append() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	return m.extend([]any{v})
}

func (m *machine) appends() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.extend(items)
}

func (m *machine) extend(items []any) error {
	l, err := topAs[*list](m, "what is appended to")
	if err != nil {
		return err
	}
	l.items = append(l.items, items...)
	return nil
}

func (m *machine) emptyDict() error { return m.push(&dict{}) }

func (m *machine) setItem() error {
	items, err := m.popN(2)
	if err != nil {
		return err
	}
	return m.setAll(items)
}

func (m *machine) setItems() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.setAll(items)
}

// setAll puts keys and values, in turn, into the dict on the stack.
func (m *machine) setAll(items []any) error {
	d, err := topAs[*dict](m, "what items are set in")
	if err != nil {
		return err
	}
	if len(items)%2 != 0 {
		return malformed("a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		if err := d.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func put(width int) func(*machine) error {
	return func(m *machine) error {
		i, err := m.s.number(width)
		if err != nil {
			return err
		}
		return m.remember(i)
	}
}

func (m *machine) memoize() error { return m.remember(uint64(len(m.memo))) }

// remember gives the object on the stack a number.
func (m *machine) remember(i uint64) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	if i >= maxObjects {
		return malformed("memo index %d", i)
	}
	m.memo[i] = v
	return nil
}

func get(width int) func(*machine) error {
	return func(m *machine) error {
		i, err := m.s.number(width)
		if err != nil {
			return err
		}
		v, ok := m.memo[i]
		if !ok {
			return malformed("memo index %d, of which nothing is known", i)
		}
		return m.push(v)
	}
}
