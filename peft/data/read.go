package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Read reads one file. The name decides how: .jsonl, .ndjson and .json hold rows,
// .csv and .tsv tables, .txt and .md plain text; others hold rows if the first line is
// a JSON object. Errors name the file and the line.
func Read(ctx context.Context, name string, r io.Reader, o Options) (*Set, error) {
	return readFile(ctx, name, r, o, newClasses(&o))
}

func readFile(ctx context.Context, name string, r io.Reader, o Options, c *classes) (*Set, error) {
	if o.MaxLength < 2 {
		return nil, fmt.Errorf("sequences of %d tokens have no target: %w", o.MaxLength, ErrTooFew)
	}
	if o.MaxLength > maxTokens {
		return nil, fmt.Errorf("sequences of %d tokens: %w", o.MaxLength, ErrOptions)
	}
	hash := sha256.New()
	l, err := newLines(name, io.TeeReader(r, hash))
	if err != nil {
		return nil, err
	}
	d := newReader(name, o, c)
	s := d.set
	if err = d.read(ctx, l); err == nil {
		err = s.full(o.MaxLength)
	}
	if err == nil && s.Format == Classes {
		s.Classes, err = c.list(&o)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return s, nil
}

// full makes sure that there is something.
func (s *Set) full(length int) error {
	switch {
	case s.Len() == 0 && s.Dropped > 0:
		return fmt.Errorf("%s: none of %d rows has a target within %d tokens: %w", s.Name, s.Dropped, length, ErrTooFew)
	case s.Len() == 0:
		return fmt.Errorf("%s is empty: %w", s.Name, ErrTooFew)
	}
	return nil
}

// read reads a file to its end.
func (d *reader) read(ctx context.Context, l *lines) error {
	first := l.firstByte()
	ext := strings.ToLower(path.Ext(l.name))
	switch {
	case ext == ".jsonl", ext == ".ndjson", ext == ".json" && first != '[':
		return d.readLines(ctx, l)
	case ext == ".json":
		return d.readArray(ctx, l)
	case ext == ".csv":
		return d.readCSV(ctx, l)
	case ext == ".tsv":
		return d.readTSV(ctx, l)
	case ext == ".txt", ext == ".md":
		d.set.Why = "its name ends in " + ext
	case first == '{':
		return d.readLines(ctx, l)
	default:
		d.set.Why = "it doesn't begin with a JSON object"
	}
	return d.readText(ctx, l)
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
func (d *reader) readLines(ctx context.Context, l *lines) error {
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		r, err := parseRow(line)
		if err == nil {
			err = d.add(r, l.line)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", l.name, l.line, err)
		}
	}
}

// readArray reads a JSON array of rows.
func (d *reader) readArray(ctx context.Context, l *lines) error {
	in := &lineReader{lines: l}
	j := json.NewDecoder(in)
	if _, err := j.Token(); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	for n := 1; j.More(); n++ {
		var element json.RawMessage
		in.taken = 0
		err := j.Decode(&element)
		line := in.lineAt(j.InputOffset() - int64(len(element)))
		var r row
		if err == nil {
			r, err = parseRow(element)
		}
		if err == nil {
			err = d.add(r, n)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s:%d: row %d: %w", l.name, line, n, asFormat(err))
		}
	}
	if _, err := j.Token(); err != nil {
		return fmt.Errorf("%s:%d: no JSON array (%w): %w", l.name, l.line, err, ErrFormat)
	}
	if _, err := j.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s:%d: text behind the JSON array: %w", l.name, in.lineAt(j.InputOffset()), ErrFormat)
	}
	return nil
}

// asFormat makes an error of the JSON package one of ours.
func asFormat(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("no JSON (%w): %w", err, ErrFormat)
	}
	return err
}

// lineReader gives checked lines to a reader of bytes, which may be ahead of what it
// has understood.
type lineReader struct {
	*lines
	rest  []byte
	taken int // since the element began, or up to a buffer's worth before
	given int64
	ends  []int64 // offsets of the ends of lines that the reader may not have reached
	above int     // lines before those
}

func (r *lineReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		line, err := r.next()
		if err != nil {
			return 0, err
		}
		r.rest = append(line, '\n') // the lines' buffer has room for what it ended with
		r.ends = append(r.ends, r.given+int64(len(r.rest)))
	}
	n := copy(p, r.rest)
	r.rest, r.given = r.rest[n:], r.given+int64(n)
	if r.taken += n; r.taken > 2*maxLine {
		return 0, r.fail("a row longer than %d MiB", maxLine>>20)
	}
	return n, nil
}

// lineAt returns the line of an offset, which doesn't decrease from call to call.
func (r *lineReader) lineAt(offset int64) int {
	for len(r.ends) > 0 && r.ends[0] <= offset {
		r.ends, r.above = r.ends[1:], r.above+1
	}
	return r.above + 1
}
