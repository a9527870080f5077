package runlog

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
)

// maxLine is the longest line that can be a record.
const maxLine = 1 << 16

// ReadFile returns the records of a JSONL or CSV file.
func ReadFile(name string) ([]Record, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	records, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return records, nil
}

// Read returns the records of JSON lines or CSV, whichever it is. What stands behind
// the last newline was not written to its end and doesn't count.
func Read(r io.Reader) ([]Record, error) {
	var records []Record
	for l, err := range scan(r) {
		if err != nil {
			return nil, err
		}
		if l.record != nil {
			records = append(records, *l.record)
		}
	}
	return records, nil
}

// Truncate cuts a JSONL or CSV file after its last record of a step up to the given
// one, so that a run can go on from there. What stands behind the last newline goes
// too. Nothing is cut from a file that is not a log.
func Truncate(name string, step int) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	end, err := endOf(f, step)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	} else {
		err = f.Truncate(end)
	}
	return errors.Join(err, f.Close())
}

// endOf returns where the records up to a step end.
func endOf(r io.Reader, step int) (end int64, err error) {
	for l, err := range scan(r) {
		if err != nil {
			return 0, err
		}
		if l.record != nil && l.record.Step > step {
			break
		}
		end = l.end
	}
	return end, nil
}

// line is a whole line of a file.
type line struct {
	record *Record // nil: the names of CSV's columns
	end    int64   // offset of the next line
}

// scan yields the whole lines of a log, up to the first that is none.
func scan(r io.Reader) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		in := bufio.NewReaderSize(r, maxLine)
		var names []string // of CSV
		var end int64
		for n := 1; ; n++ {
			text, err := in.ReadSlice('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			end += int64(len(text))
			l := line{end: end}
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				err = fmt.Errorf("%w: longer than %d bytes", ErrFormat, maxLine)
			case err != nil:
			case n == 1 && bytes.HasPrefix(text, []byte("step")):
				names, err = csvCells(text)
			case names != nil:
				l.record, err = parseCSV(names, text)
			default:
				err = json.Unmarshal(text, &l.record)
				if err == nil && l.record == nil { // null
					err = ErrFormat
				}
				if err != nil && !errors.Is(err, ErrFormat) {
					err = fmt.Errorf("%w: %w", ErrFormat, err)
				}
			}
			if err != nil {
				yield(line{}, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(l, nil) {
				return
			}
		}
	}
}

func parseCSV(names []string, text []byte) (*Record, error) {
	cells, err := csvCells(text)
	if err != nil {
		return nil, err
	}
	if len(cells) != len(names) {
		return nil, fmt.Errorf("%w: %d cells under %d names", ErrFormat, len(cells), len(names))
	}
	var r Record
	for _, c := range columns {
		i := slices.Index(names, c.name)
		if i < 0 || cells[i] == "" && c.get(&r) == nil {
			continue
		}
		x := math.NaN()
		if cells[i] != "" {
			if x, err = strconv.ParseFloat(cells[i], 64); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrFormat, c.name, err)
			}
		}
		c.set(&r, x)
	}
	return &r, nil
}

func csvCells(text []byte) ([]string, error) {
	cells, err := csv.NewReader(bytes.NewReader(text)).Read()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return cells, nil
}
