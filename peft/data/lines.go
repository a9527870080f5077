package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxLine bounds a line, and an element of a JSON array.
const maxLine = 16 << 20

// lines reads checked lines of UTF-8.
type lines struct {
	name  string // of the file, for errors
	line  int    // of the last line, from 1
	ended bool   // the last line ended with a line feed
	r     *bufio.Reader
	buf   []byte
}

var bom = []byte("\xef\xbb\xbf")

// newLines starts reading, behind a byte order mark.
func newLines(name string, r io.Reader) (*lines, error) {
	l := &lines{name: name, r: bufio.NewReaderSize(r, 1<<16)}
	start, err := l.r.Peek(len(bom))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	switch {
	case bytes.Equal(start, bom):
		_, err = l.r.Discard(len(bom))
		return l, err
	case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
		return nil, fmt.Errorf("%s: this is UTF-16 (save it as UTF-8): %w", name, ErrFormat)
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		return nil, fmt.Errorf("%s: this is gzip (unpack it): %w", name, ErrFormat)
	}
	return l, nil
}

// next returns the next line without its end; it is valid until the next call. The
// error is io.EOF behind the last line.
func (l *lines) next() ([]byte, error) {
	l.buf = l.buf[:0]
	l.line++
	for {
		piece, err := l.r.ReadSlice('\n')
		l.buf = append(l.buf, piece...)
		switch {
		case bytes.IndexByte(piece, 0) >= 0:
			return nil, l.fail("a NUL byte: this is no text")
		case len(l.buf) > maxLine:
			return nil, l.fail("longer than %d MiB", maxLine>>20)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil:
			l.ended = true
			return l.check(bytes.TrimSuffix(l.buf[:len(l.buf)-1], []byte("\r")))
		case !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%s:%d: %w", l.name, l.line, err)
		case len(l.buf) == 0:
			return nil, io.EOF
		}
		l.ended = false
		return l.check(l.buf)
	}
}

func (l *lines) check(line []byte) ([]byte, error) {
	if utf8.Valid(line) {
		return line, nil
	}
	at := 0
	for at < len(line) {
		if r, n := utf8.DecodeRune(line[at:]); r == utf8.RuneError && n == 1 {
			break
		} else {
			at += n
		}
	}
	return nil, l.fail("invalid UTF-8 (byte %#02x at column %d)", line[at], at+1)
}

// fail returns an error about the last line.
func (l *lines) fail(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s: %w", l.name, l.line, fmt.Sprintf(format, args...), ErrFormat)
}
