package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
)

// Exit codes.
const (
	codeOK          = 0
	codeFailed      = 1
	codeUsage       = 2
	codeInterrupted = 130
	codeTerminated  = 143
)

// Signal is the cause of a cancelled context that decides about the exit code: 143 if it
// is SIGTERM, otherwise 130.
type Signal struct{ os.Signal }

// Error implements error.
func (s Signal) Error() string { return s.String() }

var errInterrupted = errors.New("interrupted")

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// flagErrors are the messages of package flag, with what to say in their place.
var flagErrors = []struct {
	pattern *regexp.Regexp
	say     string
}{
	{regexp.MustCompile(`^flag provided but not defined: -+(.+)$`), "unknown flag --$1"},
	{regexp.MustCompile(`^flag needs an argument: -+(.+)$`), "--$1 needs a value"},
	{regexp.MustCompile(`^invalid (?:boolean )?value "(.*)" for (?:flag )?-+([^:]+): .*$`), "--$2 $1: a value of the wrong kind"},
}

// onUsageError is called for flags that don't parse.
func onUsageError(c *cli.Context, err error, _ bool) error {
	text := err.Error()
	for _, f := range flagErrors {
		text = f.pattern.ReplaceAllString(text, f.say)
	}
	return usagef("%s (see: %s)", text, helpOn(c))
}

func exitCode(err error) int {
	var usage usageError
	var worker workerExit
	switch {
	case err == nil:
		return codeOK
	case errors.As(err, &worker):
		return worker.code()
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return codeInterrupted
	case errors.As(err, &usage):
		return codeUsage
	}
	return codeFailed
}

// oneLine returns an error's text on one line, beginning in lower case.
func oneLine(err error) string {
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	if text != "" && text[0] >= 'A' && text[0] <= 'Z' && (len(text) < 2 || text[1] < 'A' || text[1] > 'Z') {
		text = strings.ToLower(text[:1]) + text[1:]
	}
	return text
}
