package torchfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gpupeft/gpupeft/tensor"
)

// Bounds on a pickle. Checkpoints of large models, optimizer included, stay far below.
const (
	maxPickle = 64 << 20 // bytes
	maxString = 16 << 20 // bytes
	maxLine   = 256      // bytes of a module's or function's name
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), tensor.ErrFormat)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), tensor.ErrUnsupported)
}

// scanner reads pickles from a part of a file. Lengths are checked against what is left of
// it, so that nothing is allocated for what can't be there.
type scanner struct {
	r   *bufio.Reader
	at  int64
	end int64
	buf [8]byte // of number, once for all of them
}

func newScanner(r io.ReaderAt, start, size int64) *scanner {
	size = min(size, maxPickle)
	return &scanner{r: bufio.NewReader(io.NewSectionReader(r, start, size)), end: size}
}

// need makes sure that there are so many bytes.
func (s *scanner) need(n uint64) error {
	if n > uint64(s.end-s.at) {
		return malformed("%d bytes are wanted at %d, but the pickle ends at %d (or is larger than %d MiB)", n, s.at, s.end, maxPickle>>20)
	}
	return nil
}

// take fills buf.
func (s *scanner) take(buf []byte) error {
	if err := s.need(uint64(len(buf))); err != nil {
		return err
	}
	n, err := io.ReadFull(s.r, buf)
	s.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed("the file ends within its pickle")
	}
	return err
}

// number reads a little-endian number of up to eight bytes.
func (s *scanner) number(width int) (uint64, error) {
	clear(s.buf[:])
	err := s.take(s.buf[:width])
	return binary.LittleEndian.Uint64(s.buf[:]), err
}

// counted reads a length of so many bytes and then as many bytes as it says.
func (s *scanner) counted(width int) ([]byte, error) {
	n, err := s.number(width)
	if err != nil {
		return nil, err
	}
	if n > maxString {
		return nil, malformed("a string of %d bytes", n)
	}
	if err := s.need(n); err != nil {
		return nil, err
	}
	buf := make([]byte, n)
	return buf, s.take(buf)
}

// text is counted for a UTF-8 string.
func (s *scanner) text(width int) (string, error) {
	buf, err := s.counted(width)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(buf) {
		return "", malformed("a string that isn't UTF-8")
	}
	return string(buf), nil
}

// line reads up to a newline.
func (s *scanner) line() (string, error) {
	var line []byte
	for len(line) <= maxLine {
		c, err := s.number(1)
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return string(line), nil
		}
		line = append(line, byte(c))
	}
	return "", malformed("a line of more than %d bytes", maxLine)
}
