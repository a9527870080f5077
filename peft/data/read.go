package data

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Read reads one file. The name decides how: .jsonl, .ndjson and .json hold rows,
// .txt and .md plain text; others hold rows if the first line is a JSON object.
// Errors name the file and the line.
func Read(ctx context.Context, name string, r io.Reader, o Options) (*Set, error) {
	if o.MaxLength < 2 {
		return nil, fmt.Errorf("sequences of %d tokens have no target: %w", o.MaxLength, ErrTooFew)
	}
	l, err := newLines(name, r)
	if err != nil {
		return nil, err
	}
	s, err := read(ctx, l, o)
	if err != nil {
		return nil, err
	}
	if len(s.Examples) == 0 && s.Dropped > 0 {
		return nil, fmt.Errorf("%s: none of %d rows has a target within %d tokens: %w", name, s.Dropped, o.MaxLength, ErrTooFew)
	}
	if len(s.Examples) == 0 {
		return nil, fmt.Errorf("%s is empty: %w", name, ErrTooFew)
	}
	return s, nil
}

func read(ctx context.Context, l *lines, o Options) (*Set, error) {
	first := l.firstByte()
	switch strings.ToLower(path.Ext(l.name)) {
	case ".txt", ".md":
		return readText(ctx, l, o)
	case ".json":
		if first == '[' {
			return readArray(ctx, l, o)
		}
		return readLines(ctx, l, o)
	case ".jsonl", ".ndjson":
		return readLines(ctx, l, o)
	}
	if first == '{' {
		return readLines(ctx, l, o)
	}
	return readText(ctx, l, o)
}

// firstByte returns the first byte that isn't white space, of those that are
// buffered; 0 if there is none.
func (l *lines) firstByte() byte {
	start, _ := l.r.Peek(512) // a shorter file gives io.EOF and what it has
	start = bytes.TrimLeft(start, " \t\r\n")
	if len(start) == 0 {
		return 0
	}
	return start[0]
}

// readLines reads JSONL. Empty lines are allowed.
func readLines(ctx context.Context, l *lines, o Options) (*Set, error) {
	s := &Set{Name: l.name}
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := s.add(line, o); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", l.name, l.line, err)
		}
	}
}

// readArray reads a JSON array of rows.
func readArray(ctx context.Context, l *lines, o Options) (*Set, error) {
	s := &Set{Name: l.name}
	r := &lineReader{lines: l}
	d := json.NewDecoder(r)
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	for n := 1; d.More(); n++ {
		var element json.RawMessage
		r.taken = 0
		err := d.Decode(&element)
		if err == nil {
			err = s.add(element, o)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: row %d: %w", l.name, n, asFormat(err))
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%s: no JSON array (%w): %w", l.name, err, ErrFormat)
	}
	return s, nil
}

// asFormat makes an error of the JSON package one of ours.
func asFormat(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("no JSON (%w): %w", err, ErrFormat)
	}
	return err
}

// lineReader gives checked lines to a reader of bytes.
type lineReader struct {
	*lines
	rest  []byte
	taken int // since the element began, or up to a buffer's worth before
}

func (r *lineReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		line, err := r.next()
		if err != nil {
			return 0, err
		}
		r.rest = append(line, '\n') // the lines' buffer has room for what it ended with
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	if r.taken += n; r.taken > 2*maxLine {
		return 0, r.fail("a row longer than %d MiB", maxLine>>20)
	}
	return n, nil
}

// add appends a row. The first one decides the format.
func (s *Set) add(text []byte, o Options) error {
	r, err := parseRow(text)
	if err != nil {
		return err
	}
	if s.Format == "" {
		if s.Format, err = r.format(); err != nil {
			return err
		}
		if s.Format != Ready && o.Tokens == nil {
			return needsTokenizer("the row")
		}
	}
	e, err := r.example(s.Format, o)
	if err != nil {
		return err
	}
	if len(e.IDs) > o.MaxLength {
		e = Example{IDs: e.IDs[:o.MaxLength], Labels: e.Labels[:o.MaxLength]}
		s.Truncated++
	}
	if e.Targets() == 0 {
		s.Dropped++
		return nil
	}
	s.Examples = append(s.Examples, e)
	return nil
}
