package data

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// readCSV reads a table with commas, whose first record names the columns (RFC 4180).
func (d *reader) readCSV(ctx context.Context, l *lines) error {
	in := &lineReader{lines: l}
	c := csv.NewReader(in)
	c.ReuseRecord = true
	var t table
	for {
		in.taken = 0
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var wrong *csv.ParseError
		switch {
		case errors.As(err, &wrong):
			return fmt.Errorf("%s:%d: no CSV (%w): %w", l.name, wrong.StartLine, wrong.Err, ErrFormat)
		case err != nil:
			return err
		}
		line, _ := c.FieldPos(0)
		if err = t.record(d, record, line); err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", l.name, line, err)
		}
	}
}

// readTSV reads a table with tabs, whose first line names the columns. Quotes are
// characters like others, as in the files of GLUE. Empty lines are allowed.
func (d *reader) readTSV(ctx context.Context, l *lines) error {
	var t table
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
		if len(line) == 0 {
			continue
		}
		if err := t.record(d, strings.Split(string(line), "\t"), l.line); err != nil {
			return fmt.Errorf("%s:%d: %w", l.name, l.line, err)
		}
	}
}

// table knows its columns once it has seen the first record.
type table struct{ columns []string }

// record takes in a record of cells, all of which are strings.
func (t *table) record(d *reader, cells []string, line int) error {
	if t.columns == nil {
		seen := row{}
		for _, name := range cells {
			if seen.has(name) {
				return fmt.Errorf("column %q occurs twice: %w", name, ErrFormat)
			}
			seen[name] = json.RawMessage(`""`)
		}
		t.columns = append(t.columns, cells...)
		_, _, _, err := d.find(seen)
		return err
	}
	if len(cells) != len(t.columns) {
		return fmt.Errorf("%d cells under %d columns: %w", len(cells), len(t.columns), ErrFormat)
	}
	r := row{}
	for i, cell := range cells {
		value, err := json.Marshal(cell)
		if err != nil {
			return err
		}
		r[t.columns[i]] = value
	}
	return d.add(r, line)
}
