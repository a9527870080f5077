package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/mattn/go-isatty"
	"github.com/urfave/cli/v2"
)

// output separates what a command says.
type output struct {
	result io.Writer // what was asked for
	talk   io.Writer // what is going on
	note   io.Writer // what the user should know anyway
	live   bool      // talk is a terminal
	// records, if not nil, gets steps as JSON lines, in place of talk of them.
	records io.Writer
}

// output follows --json, which keeps standard output for the result, and --quiet.
func (p *program) output(c *cli.Context) *output {
	o := &output{result: p.out, talk: p.out, note: p.err}
	if c.Bool("json") {
		o.talk = p.err
	}
	if c.Bool("quiet") {
		o.talk, o.note = io.Discard, io.Discard
	}
	if f, ok := o.talk.(*os.File); ok {
		o.live = isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
	}
	return o
}

// progress is how --progress asks for steps to be shown.
func (p *program) progress(c *cli.Context, out *output) error {
	switch kind := c.String("progress"); kind {
	case "auto":
	case "bar":
		out.live = true
	case "lines":
		out.live = false
	case "json":
		out.live, out.records = false, p.err
	default:
		return usagef("--progress %q (known: auto, bar, lines, json)", kind)
	}
	return nil
}

// say prints a line of talk.
func (o *output) say(format string, args ...any) { fmt.Fprintf(o.talk, format+"\n", args...) }

// warn prints a line that --json doesn't hide.
func (o *output) warn(format string, args ...any) {
	fmt.Fprintf(o.note, "gpupeft: "+format+"\n", args...)
}

// writeJSON prints an indented object.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// count returns "1 row", "1,500 rows".
func count[T ~int | ~int64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

// thousands groups digits: 1,058,176.
func thousands[T ~int | ~int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// bytes returns "34 MB".
func byteSize(n int64) string {
	switch f := float64(n); {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", f/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f MB", f/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0f kB", f/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}

// number returns a pointer to a number that JSON can hold, else nil.
func number(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
