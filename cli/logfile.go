package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// logFile is --log-jsonl. A nil one does nothing.
type logFile struct{ f *os.File }

// openLog opens a log for a run that goes on after a step: it keeps the lines up to that
// one, of an older one nothing.
func openLog(name string, after int) (*logFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--log-jsonl: %w", err)
	}
	if err := keepLines(f, after); err != nil {
		return nil, fmt.Errorf("--log-jsonl: %w", errors.Join(err, f.Close()))
	}
	return &logFile{f}, nil
}

// keepLines cuts a file behind its first n lines and goes there.
func keepLines(f *os.File, n int) error {
	end, r := int64(0), bufio.NewReader(f)
	for range n {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			break // a line that is not complete goes
		}
		if err != nil {
			return err
		}
		end += int64(len(line))
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err := f.Seek(end, io.SeekStart)
	return err
}

// sync makes what was written outlive a power failure.
func (l *logFile) sync() error {
	if l == nil {
		return nil
	}
	return l.f.Sync()
}

// write appends a record, so that it can be followed while the program runs.
func (l *logFile) write(r stepRecord) error {
	if l == nil {
		return nil
	}
	line, err := json.Marshal(r)
	if err == nil {
		_, err = l.f.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("--log-jsonl: %w", err)
	}
	return nil
}

// close may be called twice.
func (l *logFile) close() error {
	if l == nil || l.f == nil {
		return nil
	}
	f := l.f
	l.f = nil
	if err := f.Close(); err != nil {
		return fmt.Errorf("--log-jsonl: %w", err)
	}
	return nil
}
