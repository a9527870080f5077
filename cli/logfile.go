package cli

import (
	"encoding/json"
	"fmt"
	"os"
)

// logFile is --log-jsonl. A nil one does nothing.
type logFile struct{ f *os.File }

func openLog(name string) (*logFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("--log-jsonl: %w", err)
	}
	return &logFile{f}, nil
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
