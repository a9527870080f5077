package cli

import (
	"bytes"
	"io"
	"slices"
	"strings"
)

// crashFilter passes on what a process writes to standard error, up to the report of a
// crash: pages of stack traces, of which reason keeps what was wrong.
type crashFilter struct {
	to     io.Writer
	line   []byte // what has come of a line that may begin a report
	inside bool   // the beginning of this line was passed on
	report []byte // nil: none has begun
	last   []byte // the last line that was passed on
}

// crashMarks begin the reports of Rust's runtime and Go's.
var crashMarks = []string{"thread '", "fatal error: ", "panic: ", "runtime: ", "SIG", "fatal runtime error: "}

const maxReport = 4 << 10

// Write implements io.Writer.
func (f *crashFilter) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		n := bytes.IndexAny(rest, "\r\n") + 1
		if n == 0 {
			n = len(rest)
		}
		if err := f.add(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(data), nil
}

// add takes a line, or a part of one.
func (f *crashFilter) add(part []byte) error {
	f.line = append(f.line, part...)
	ends := bytes.ContainsAny(part, "\r\n")
	if f.report == nil && !f.inside {
		text := string(f.line)
		begins := func(mark string) bool { return strings.HasPrefix(text, mark) }
		if slices.ContainsFunc(crashMarks, begins) {
			f.report = []byte{}
		} else if !ends && slices.ContainsFunc(crashMarks, func(mark string) bool { return strings.HasPrefix(mark, text) }) {
			return nil // the next part will tell
		}
	}
	text, goesOn := f.line, f.inside
	f.line, f.inside = nil, !ends
	if f.report != nil {
		f.report = append(f.report, text[:min(len(text), maxReport-len(f.report))]...)
		return nil
	}
	if !goesOn {
		f.last = nil
	}
	f.last = append(f.last, text[:min(len(text), maxReport-len(f.last))]...)
	_, err := f.to.Write(text)
	return err
}

// reason is what the report says was wrong, on one line; "" without a report.
func (f *crashFilter) reason() string {
	text, _, _ := strings.Cut(string(f.report), "stack backtrace:")
	text, _, _ = strings.Cut(text, "\nPC=")
	if _, message, rust := strings.Cut(text, "panicked at "); rust {
		_, text, _ = strings.Cut(message, "\n") // after the place
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": ")
}

// said is the last line, without the program's name.
func (f *crashFilter) said() string {
	return strings.TrimPrefix(strings.TrimSpace(string(f.last)), "gpupeft: ")
}
