package runlog

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// Writer is a log that is being written. It is for one goroutine.
type Writer interface {
	// Write appends a record, which others see as soon as it returns.
	Write(Record) error
	// Sync returns when what was written would outlive a power failure. A
	// checkpoint that is made after it is never ahead of its log.
	Sync() error
	// Close ends the log. It may be called twice.
	Close() error
}

// lines is a log of one line a record.
type lines struct {
	f      *os.File
	encode func(Record) ([]byte, error) // with its newline
}

// OpenJSONL opens a file of JSON objects, one a line, for a run that goes on after a
// step. After step 0 it begins anew. Otherwise it keeps the file's records up to that
// step (see [Truncate]).
func OpenJSONL(name string, after int) (Writer, error) {
	return openLines(name, after, nil, func(r Record) ([]byte, error) {
		line, err := json.Marshal(r)
		return append(line, '\n'), err
	})
}

// OpenCSV opens a file of comma-separated values with a line of names on top. Cells of
// what was not measured are empty. See [OpenJSONL] for after.
func OpenCSV(name string, after int) (Writer, error) {
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	top, err := csvLine(names)
	if err != nil {
		return nil, err
	}
	return openLines(name, after, top, func(r Record) ([]byte, error) {
		var cells []string
		for _, c := range columns {
			cell := ""
			if x := c.get(&r); x != nil {
				cell = number(*x)
			}
			cells = append(cells, cell)
		}
		return csvLine(cells)
	})
}

func csvLine(cells []string) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	err := w.Write(cells)
	w.Flush()
	return b.Bytes(), err
}

// openLines opens a file; top is what a new one begins with.
func openLines(name string, after int, top []byte, encode func(Record) ([]byte, error)) (Writer, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if after == 0 {
		flags |= os.O_TRUNC
	} else if err := Truncate(name, after); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == 0 && len(top) > 0 {
		_, err = f.Write(top)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &lines{f, encode}, nil
}

func (l *lines) Write(r Record) error {
	line, err := l.encode(r)
	if err != nil {
		return fmt.Errorf("%s: %w", l.f.Name(), err)
	}
	_, err = l.f.Write(line)
	return err
}

func (l *lines) Sync() error { return l.f.Sync() }

func (l *lines) Close() error { return closeOnce(l.f) }

// closeOnce closes a file that may be closed already.
func closeOnce(f *os.File) error {
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Several returns a log that is several logs. All of them get each record, whatever
// happens to one; nil ones are left out.
func Several(logs ...Writer) Writer {
	var all several
	for _, l := range logs {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

type several []Writer

func (s several) Write(r Record) error { return s.each(func(w Writer) error { return w.Write(r) }) }

func (s several) Sync() error { return s.each(Writer.Sync) }

func (s several) Close() error { return s.each(Writer.Close) }

func (s several) each(do func(Writer) error) error {
	var errs []error
	for _, w := range s {
		errs = append(errs, do(w))
	}
	return errors.Join(errs...)
}
