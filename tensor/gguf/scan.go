package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// Bounds on what a header may hold. Published files stay far below.
const (
	maxString  = 16 << 20
	maxArray   = 1 << 26
	maxKeys    = 1 << 16
	maxTensors = 1 << 20

	maxAlignment = 1 << 20
)

// scanner reads a file's header from its start. Lengths are checked against what is
// left of the file, so that nothing is allocated for what can't be there.
type scanner struct {
	r    *bufio.Reader
	at   int64
	size int64
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), tensor.ErrFormat)
}

// take returns the next n bytes, which stay until the next call.
func (s *scanner) take(n int) (b []byte, err error) {
	if int64(n) > s.size-s.at {
		return nil, malformed("the file ends at byte %d, within its header", s.size)
	}
	if n <= s.r.Size() {
		b, err = s.r.Peek(n)
		s.r.Discard(len(b)) // can't fail: they are in its buffer
	} else {
		b = make([]byte, n)
		_, err = io.ReadFull(s.r, b)
	}
	s.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, malformed("the file has fewer than its %d bytes", s.size)
	}
	return b, err
}

func (s *scanner) u32() (uint32, error) {
	b, err := s.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (s *scanner) u64() (uint64, error) {
	b, err := s.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// text reads a string.
func (s *scanner) text() (string, error) {
	n, err := s.u64()
	if err != nil {
		return "", err
	}
	if n > maxString || int64(n) > s.size-s.at {
		return "", malformed("a string of %d bytes at byte %d of %d", n, s.at, s.size)
	}
	b, err := s.take(int(n))
	return string(b), err
}

// count reads a number of things that take at least so many bytes each.
func (s *scanner) count(what string, most uint64, bytesEach int64) (int, error) {
	n, err := s.u64()
	if err != nil {
		return 0, err
	}
	if n > most || n > uint64((s.size-s.at)/bytesEach) {
		return 0, malformed("%d %s at byte %d of %d", n, what, s.at, s.size)
	}
	return int(n), nil
}

// value reads a metadata value and its type.
func (s *scanner) value() (t valueType, v any, err error) {
	n, err := s.u32()
	if err != nil {
		return 0, nil, err
	}
	if t = valueType(n); t != typeArray {
		v, err = s.scalar(t)
		return t, v, err
	}
	element, err := s.u32()
	if err != nil {
		return t, nil, err
	}
	if element >= uint32(numValueTypes) || valueType(element) == typeArray {
		return t, nil, malformed("an array of type %d", element)
	}
	v, err = s.array(valueType(element))
	return t, v, err
}

// scalar reads a value that is no array, as int64, uint64, float64, bool or string.
func (s *scanner) scalar(t valueType) (any, error) {
	if t >= numValueTypes {
		return nil, malformed("a value of type %d", t)
	}
	if t == typeString {
		return s.text()
	}
	stored, err := s.take(int(valueBytes[t]))
	if err != nil {
		return nil, err
	}
	var b [8]byte
	copy(b[:], stored)
	bits := binary.LittleEndian.Uint64(b[:])
	switch t {
	case typeInt8:
		return int64(int8(bits)), nil
	case typeInt16:
		return int64(int16(bits)), nil
	case typeInt32:
		return int64(int32(bits)), nil
	case typeInt64:
		return int64(bits), nil
	case typeUint64:
		if bits > math.MaxInt64 {
			return bits, nil
		}
	case typeFloat32:
		return float64(math.Float32frombits(uint32(bits))), nil
	case typeFloat64:
		return math.Float64frombits(bits), nil
	case typeBool:
		if bits > 1 {
			return nil, malformed("a bool of value %d", bits)
		}
		return bits == 1, nil
	}
	return int64(bits), nil
}

// array reads the elements behind an array's type: []string, []int64, []float64 or
// []bool.
func (s *scanner) array(t valueType) (any, error) {
	n, err := s.count("array elements", maxArray, valueBytes[t])
	if err != nil {
		return nil, err
	}
	switch t {
	case typeString:
		return elements(n, s.text)
	case typeFloat32, typeFloat64:
		return elements(n, scalar[float64](s, t))
	case typeBool:
		return elements(n, scalar[bool](s, t))
	}
	return elements(n, scalar[int64](s, t))
}

// scalar returns what reads an element of type t as a T.
func scalar[T any](s *scanner, t valueType) func() (T, error) {
	return func() (T, error) {
		v, err := s.scalar(t)
		e, ok := v.(T)
		if err == nil && !ok {
			err = malformed("an array element of %v", v)
		}
		return e, err
	}
}

func elements[T any](n int, read func() (T, error)) (any, error) {
	list := make([]T, 0, min(n, 1<<12)) // grows as elements are really there
	for range n {
		e, err := read()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}
