package data

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gpupeft/gpupeft/transformer"
)

// store keeps examples as bytes, in memory, and beyond a bound in a temporary file: a
// data set may be larger than memory. An example is
//
//	uvarint row, task, class, bytes of the choices, which follow as JSON;
//	for each token uvarint(id·4 + kind), and for otherLabel a uvarint label
//
// which is three bytes a token for a vocabulary of 2^18 or less.
type store struct {
	limit   int
	buffer  []byte // all, or with a file, what isn't in it yet
	file    *os.File
	written int64 // bytes of the file
	choices int   // the largest number of bytes of an example's choices
}

// What a token's label is.
const (
	noTarget = iota
	ownLabel
	otherLabel
)

const (
	storeMemory = 64 << 20
	storeBuffer = 1 << 20
	// maxTokens bounds an example, and maxStore a file's tokens, by the bits of a place.
	maxTokens = 1<<24 - 1
	maxStore  = 1 << 40
)

// place says where an example is in a store: its offset, and below 24 bits of that,
// its number of tokens. It is all that is kept in memory of each example.
type place uint64

func (p place) offset() int64 { return int64(p >> 24) }
func (p place) length() int   { return int(p & maxTokens) }

// add appends an example.
func (s *store) add(e Example) (place, error) {
	offset := s.written + int64(len(s.buffer))
	if offset >= maxStore {
		return 0, fmt.Errorf("more than %d GB of tokens (split the data): %w", maxStore>>30, ErrFormat)
	}
	var choices []byte
	if e.Choices != nil {
		var err error
		if choices, err = json.Marshal(e.Choices); err != nil {
			return 0, err
		}
		s.choices = max(s.choices, len(choices))
	}
	b := s.buffer
	for _, v := range []int{e.Row, e.Task, e.Class, len(choices)} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	b = append(b, choices...)
	for i, id := range e.IDs {
		switch y := e.Labels[i]; y {
		case transformer.Masked:
			b = binary.AppendUvarint(b, uint64(id)<<2) // noTarget
		case id:
			b = binary.AppendUvarint(b, uint64(id)<<2|ownLabel)
		default:
			b = binary.AppendUvarint(b, uint64(id)<<2|otherLabel)
			b = binary.AppendUvarint(b, uint64(y))
		}
	}
	s.buffer = b
	var err error
	if s.file == nil && len(b) > s.limit || s.file != nil && len(b) > storeBuffer {
		err = s.flush()
	}
	return place(offset)<<24 | place(len(e.IDs)), err
}

// flush moves the buffer to the file, which it makes if there is none.
func (s *store) flush() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "gpupeft-tokens-*"); err != nil {
			return fmt.Errorf("temporary file for tokens: %w", err)
		}
	}
	n, err := s.file.Write(s.buffer)
	s.written += int64(n)
	if err != nil {
		return fmt.Errorf("temporary file for tokens: %w", err)
	}
	s.buffer = make([]byte, 0, storeBuffer+4096)
	return nil
}

// get returns the example at a place. It may be called by several goroutines, but
// not while examples are added.
func (s *store) get(p place) (Example, error) {
	text := s.buffer
	if offset := p.offset(); offset < s.written {
		text = make([]byte, min(s.written-offset, int64(4+2*p.length())*binary.MaxVarintLen64+int64(s.choices)))
		if _, err := s.file.ReadAt(text, offset); err != nil && !errors.Is(err, io.EOF) {
			return Example{}, fmt.Errorf("temporary file for tokens: %w", err)
		}
	} else {
		text = text[offset-s.written:]
	}
	next := func() uint64 {
		v, n := binary.Uvarint(text)
		text = text[max(0, n):]
		return v
	}
	e := Example{Row: int(next()), Task: int(next()), Class: int(next()), IDs: make([]int32, p.length()), Labels: make([]int32, p.length())}
	if n := next(); n > 0 {
		if err := json.Unmarshal(text[:n], &e.Choices); err != nil {
			return e, fmt.Errorf("temporary file for tokens: %w", err)
		}
		text = text[n:]
	}
	for i := range e.IDs {
		v := next()
		e.IDs[i], e.Labels[i] = int32(v>>2), transformer.Masked
		switch v & 3 {
		case ownLabel:
			e.Labels[i] = e.IDs[i]
		case otherLabel:
			e.Labels[i] = int32(next())
		}
	}
	return e, nil
}

// close removes the file.
func (s *store) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return errors.Join(err, os.Remove(s.file.Name()))
}
