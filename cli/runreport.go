package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft/results"
	"github.com/gpupeft/gpupeft/peft/runlog"
)

// Files of a run's directory, beside run.json.
const (
	logName    = "log.jsonl"
	pageName   = "report.html"
	imageName  = "loss.png"
	vectorName = "loss.svg"
)

const reportDescription = `Makes a page about a run of tune from its directory: report.html, one file that needs
no network, with loss curves, scores beside the baselines, samples, and all settings;
and the curves as loss.png and loss.svg. They replace those that are there.

The curves come from log.jsonl in the directory, or from --log. tune makes all of this
itself at its end, unless --no-report is given.

Example:
   gpupeft tune --out adapter --no-report
   gpupeft report adapter`

func (p *program) reportCommand() *cli.Command {
	return &cli.Command{
		Name:        "report",
		Usage:       "make a page and plots of a run",
		UsageText:   "gpupeft report [options] DIR",
		Description: reportDescription,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "log", Category: groupInput, DefaultText: "log.jsonl in DIR", Usage: "`FILE` that tune --log-jsonl wrote, or CSV"},
			quietFlag(),
		},
		Action: p.report,
	}
}

func (p *program) report(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("report wants one directory (see: gpupeft help report)")
	}
	dir := c.Args().First()
	records, err := readRunLog(dir, c.String("log"))
	if err != nil {
		return err
	}
	files, err := writeRunReport(dir, records)
	if err != nil {
		return err
	}
	out := p.output(c)
	if len(records) == 0 {
		out.warn("%s has no %s: a report without curves (name the log with --log)", dir, logName)
	}
	out.say("wrote %s", strings.Join(files, ", "))
	return nil
}

// readRunLog reads a log; without a name, that of the directory, if there is one.
func readRunLog(dir, name string) ([]runlog.Record, error) {
	if name != "" {
		records, err := runlog.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--log: %w", err)
		}
		return records, nil
	}
	records, err := runlog.ReadFile(filepath.Join(dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return records, err
}

// writeRunReport writes the page and the plots of a finished run into its directory, and
// returns their names.
func writeRunReport(dir string, records []runlog.Record) (names []string, err error) {
	run, err := readRun(dir)
	if err != nil {
		return nil, err
	}
	page := run.page()
	page.Log = records
	files := map[string]func(io.Writer) error{pageName: page.HTML}
	var order []string
	if curves := results.Curves(page.Title, records); curves != nil {
		files[imageName], files[vectorName] = curves.PNG, curves.SVG
		order = append(order, imageName, vectorName)
	}
	order = append(order, pageName) // which says, when it is there, that all are
	for _, name := range order {
		name, write := filepath.Join(dir, name), files[name]
		if err := disk.Write(name, write); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// finishedRun is what run.json says: the parts that a page shows in its own way, and all
// of it, as it is.
type finishedRun struct {
	report
	all map[string]json.RawMessage
}

func readRun(dir string) (*finishedRun, error) {
	name := filepath.Join(dir, runName)
	b, err := fs.ReadFile(disk.Dir(dir), runName)
	if err != nil {
		return nil, fmt.Errorf("%s is not the directory of a run: %w", dir, err)
	}
	var r finishedRun
	if err := errors.Join(json.Unmarshal(b, &r.report), json.Unmarshal(b, &r.all)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &r, nil
}

// page tells the run.
func (r *finishedRun) page() results.Run {
	run := results.Run{
		Title: fmt.Sprintf("%s: %s on %s", r.Method, r.modelName(), filepath.Base(r.Data.Path)),
		Lead:  r.lead(), Facts: r.facts(), Scores: r.scores(), Groups: r.groups(),
		Made: "Made by gpupeft " + thisBuild().Version + ". This file needs no other and no network.",
	}
	if r.Interrupted {
		run.Notes = append(run.Notes, fmt.Sprintf("The run was interrupted after %s of %s.", count(r.Steps, "step"), thousands(r.Settings.Steps)))
	}
	if s := r.Sample; s != nil {
		sample := results.Sample{Prompt: s.Prompt, Before: strings.TrimSpace(s.Before), After: strings.TrimSpace(s.After), Right: s.Expected}
		for _, d := range s.During {
			sample.During = append(sample.During, results.Pair{Name: "step " + thousands(d.Step), Value: strings.TrimSpace(d.Text)})
		}
		run.Samples = []results.Sample{sample}
	}
	return run
}

func (r *finishedRun) modelName() string { return filepath.Base(r.Model) }

func (r *finishedRun) lead() string {
	return fmt.Sprintf("%s trained values (%.2g %% of %s's %s) on %s, %s, of %s; %s held out.",
		thousands(r.Params), 100*float64(r.Params)/float64(r.BaseParams), r.Model, count(r.BaseParams, "parameter"),
		count(r.Data.Train, "example"), r.Data.Format, r.Data.Path, thousands(r.Data.HeldOut))
}

// facts are the numbers that are asked for first.
func (r *finishedRun) facts() (facts []results.Pair) {
	add := func(name, value string) { facts = append(facts, results.Pair{Name: name, Value: value}) }
	if r.LossBefore != nil && r.LossAfter != nil {
		add("held-out loss", fmt.Sprintf("%.4f → %.4f", *r.LossBefore, *r.LossAfter))
	}
	add("steps", thousands(r.Steps))
	add("tokens", thousands(r.Tokens))
	add("training", time.Duration(r.Seconds*float64(time.Second)).Round(time.Second).String())
	add("tokens/s", thousands(int(r.TokensPerS)))
	add("peak memory", byteSize(r.PeakBytes))
	return facts
}

// scores are those of the model before and after, and of the baseline.
func (r *finishedRun) scores() results.Scores {
	s := results.Scores{Metrics: []results.Metric{results.Loss, results.Perplexity, results.Accuracy}}
	exact := r.Base != nil && r.Base.Exact != nil
	if exact {
		s.Metrics = append(s.Metrics, results.Exact)
	}
	for _, row := range []struct {
		name  string
		score *score
	}{{"bare model", r.Base}, {"before", r.Before}, {"after", r.After}} {
		if x := row.score; x != nil {
			values := []float64{or(x.Loss), or(x.Perplexity), x.Accuracy, or(x.Exact)}
			s.Rows = append(s.Rows, results.ScoreRow{Name: row.name, Values: values[:len(s.Metrics)]})
		}
	}
	if m := r.Majority; m != nil && exact {
		nan := math.NaN()
		s.Rows = append(s.Rows, results.ScoreRow{Name: fmt.Sprintf("always %q", quoted(m.Completion, 40)), Baseline: true, Values: []float64{nan, nan, nan, m.Exact}})
	}
	return s
}

// or returns the number, NaN for none.
func or(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}

// groups are the objects of run.json with all their fields, whatever these are.
func (r *finishedRun) groups() (groups []results.Group) {
	for _, g := range []struct {
		key, name string
		show      func(json.RawMessage) string
	}{{"settings", "Settings", plain}, {"data", "Data", plain}, {"device", "Device", plain}, {"memory", "Memory plan", plainBytes}, {"build", "Made with", plain}, {"config", "Flags", plain}} {
		pairs := fieldsOf(r.all[g.key], "", g.show)
		if g.key == "build" && r.ModelSHA256 != "" {
			pairs = append(pairs, results.Pair{Name: "model sha256", Value: r.ModelSHA256})
		}
		if len(pairs) > 0 {
			groups = append(groups, results.Group{Name: g.name, Pairs: pairs})
		}
	}
	return groups
}

// fieldsOf lists a JSON object's fields in their order. Those of an object within it have
// its name in front.
func fieldsOf(object json.RawMessage, within string, show func(json.RawMessage) string) (pairs []results.Pair) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return pairs
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return pairs
		}
		name := within + strings.ReplaceAll(fmt.Sprint(key), "_", " ")
		if inner := fieldsOf(value, name+" ", show); inner != nil {
			pairs = append(pairs, inner...)
			continue
		}
		pairs = append(pairs, results.Pair{Name: name, Value: show(value)})
	}
	return pairs
}

// plain writes a JSON value for people: a text without its quotes, true as yes.
func plain(value json.RawMessage) string {
	var x any
	if err := json.Unmarshal(value, &x); err != nil {
		return string(value)
	}
	switch x := x.(type) {
	case string:
		return x
	case bool:
		return map[bool]string{true: "yes", false: "no"}[x]
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return thousands(int64(x))
		}
	}
	return string(value)
}

// plainBytes writes a number of bytes.
func plainBytes(value json.RawMessage) string {
	var n int64
	if json.Unmarshal(value, &n) != nil {
		return plain(value)
	}
	return byteSize(n)
}
