package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft/experiment"
	"github.com/gpupeft/gpupeft/peft/results"
)

const experimentDescription = `Trains every method of a YAML file on every model and data set with every seed, one
after the other, and writes a table that compares them with baselines: as Markdown,
CSV, JSON and a page with plots.

   name: reviews
   metric: exact                # class, norm, exact, accuracy, loss or perplexity
   settings: {steps: 200}       # of all; flags of gpupeft tune by name
   models:
     - {name: SmolLM2, model: smollm2.gguf}
   datasets:
     - {name: SST-2, data: sst2}
   methods:
     - {name: LoRA, method: lora, rank: 8}
     - {name: prompt, method: prompt}
   seeds: [1, 2, 3]
   baselines: [majority, zero-shot, few-shot-4, n-gram-3]

Without models and datasets, the built-in ones are used. What is done is kept: an
experiment that was stopped goes on where it was when it is started again.

Examples:
   gpupeft experiment docs/experiments/reviews.yaml
   gpupeft experiment --table docs/experiments/reviews.yaml`

func (p *program) experimentCommand() *cli.Command {
	return &cli.Command{
		Name:        "experiment",
		Usage:       "train many methods, models and data sets, and compare them in a table",
		UsageText:   "gpupeft experiment [options] FILE",
		Description: experimentDescription,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Category: groupOutput, DefaultText: "experiments/ and the file's name", Usage: "`DIR` for the results"},
			&cli.BoolFlag{Name: "table", Category: groupOutput, DisableDefaultText: true, Usage: "run nothing: make the table of what is done"},
			jsonFlag("print the table as JSON"), quietFlag(),
		},
		Action: p.experiment,
	}
}

func (p *program) experiment(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("experiment: want one file, after the options")
	}
	name := c.Args().First()
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	plan, err := experiment.Parse(text)
	if err != nil {
		return usagef("%s: %w", name, err)
	}
	dir := c.String("out")
	if dir == "" {
		base := filepath.Base(name)
		dir = filepath.Join("experiments", strings.TrimSuffix(base, filepath.Ext(base)))
	}
	if err := p.checkCells(c.Context, plan); err != nil {
		return usagef("%s: %w", name, err)
	}
	out := p.output(c)
	failed := 0
	if !c.Bool("table") {
		if failed, err = p.runCells(c.Context, plan, dir, out); err != nil {
			return err
		}
	}
	trials, err := experiment.Trials(plan, dir)
	if err != nil {
		return err
	}
	if err := writeTable(out, plan.Table(trials), dir, c.Bool("json")); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s failed (start it again to try them again)", failed, count(len(plan.Cells()), "run"))
	}
	return nil
}

// checkCells refuses flags that don't exist or don't fit, before anything runs.
func (p *program) checkCells(ctx context.Context, plan *experiment.Plan) error {
	for _, cell := range plan.Cells() {
		for _, own := range []string{"out", "resume", "json", "dry-run", "config"} {
			if _, ok := cell.Settings[own]; ok {
				return fmt.Errorf("%s: %s is set by the experiment", cell, own)
			}
		}
		err := p.asTune(ctx, io.Discard, io.Discard, cell.Settings, func(c *cli.Context) error {
			_, err := newPlan(c)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", cell, err)
		}
	}
	return nil
}

// asTune runs an action with the flags of tune.
func (p *program) asTune(ctx context.Context, out, talk io.Writer, s experiment.Settings, action cli.ActionFunc, more ...string) error {
	args := []string{"tune"}
	for _, flag := range slices.Sorted(maps.Keys(s)) {
		args = append(args, "--"+flag+"="+s[flag])
	}
	args = append(args, more...)
	sub := &program{in: strings.NewReader(""), out: out, err: talk, args: args, self: p.self}
	app := sub.app()
	for _, command := range app.Commands {
		if command.Name == "tune" && action != nil {
			command.Action = action
		}
	}
	return app.RunContext(ctx, append([]string{"gpupeft"}, args...))
}

// runCells runs what isn't done, and returns how many failed.
func (p *program) runCells(ctx context.Context, plan *experiment.Plan, dir string, out *output) (failed int, err error) {
	run := func(ctx context.Context, cell experiment.Cell, own string) (results.Trial, error) {
		if cell.Baseline {
			return p.runBaseline(ctx, cell)
		}
		return p.runMethod(ctx, cell, own, out)
	}
	for e, err := range experiment.Run(ctx, plan, dir, run) {
		if err != nil {
			return failed, err
		}
		label := fmt.Sprintf("%d/%d  %s", e.Number, e.Of, e.Cell)
		switch {
		case e.Began:
			out.say("%s …", label)
		case e.Kept:
			out.say("%s: done before, %s", label, metricsText(plan, e.Trial))
		case e.Err != nil:
			failed++
			out.warn("%s: %s", label, oneLine(e.Err))
		default:
			out.say("%s: %s in %v", label, metricsText(plan, e.Trial), e.Took.Round(time.Second/10))
		}
	}
	return failed, nil
}

func metricsText(plan *experiment.Plan, t results.Trial) string {
	v, ok := t.Metrics[plan.Metric.Name]
	switch {
	case !ok:
		return "no " + plan.Metric.Name
	case plan.Metric.Share:
		return fmt.Sprintf("%s %.1f %%", plan.Metric.Name, 100*v)
	}
	return fmt.Sprintf("%s %.4f", plan.Metric.Name, v)
}

// runMethod trains. What an interrupted run has left is gone on with.
func (p *program) runMethod(ctx context.Context, cell experiment.Cell, dir string, out *output) (results.Trial, error) {
	var report bytes.Buffer
	more := []string{"--json", "--out", filepath.Join(dir, "run"), "--resume", "auto"}
	if !out.live {
		more = append(more, "--quiet")
	}
	err := p.asTune(ctx, &report, out.talk, cell.Settings, nil, more...)
	if err != nil {
		return results.Trial{}, err
	}
	var r struct {
		After      *score
		Params     int64
		TokensPerS float64 `json:"tokens_per_s"`
		PeakBytes  int64   `json:"peak_bytes"`
		Seconds    float64
	}
	if err := json.Unmarshal(report.Bytes(), &r); err != nil {
		return results.Trial{}, fmt.Errorf("report of tune: %w", err)
	}
	if r.After == nil {
		return results.Trial{}, errors.New("nothing was held out to evaluate on (val-split)")
	}
	return results.Trial{Metrics: r.After.metrics(), Params: r.Params, TokensPerS: r.TokensPerS, PeakBytes: r.PeakBytes, Seconds: r.Seconds}, nil
}

// metrics are a score's numbers by name.
func (s *score) metrics() map[string]float64 {
	m := map[string]float64{results.Accuracy.Name: s.Accuracy}
	for metric, v := range map[*results.Metric]*float64{
		&results.Loss: s.Loss, &results.Perplexity: s.Perplexity, &results.Exact: s.Exact,
		&results.Class: s.Class, &results.Normalized: s.ClassNormalized,
	} {
		if v != nil {
			m[metric.Name] = *v
		}
	}
	return m
}

// writeTable writes the table in all forms, and prints one.
func writeTable(out *output, table *results.Table, dir string, asJSON bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	made := "gpupeft " + thisBuild().Version
	for name, write := range map[string]func(io.Writer) error{
		"table.md": table.Markdown, "table.csv": table.CSV, "table.json": table.JSON,
		"table.html": func(w io.Writer) error { return table.HTML(w, made) },
	} {
		if err := disk.Write(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	if asJSON {
		return table.JSON(out.result)
	}
	fmt.Fprintln(out.result)
	if err := table.Markdown(out.result); err != nil {
		return err
	}
	out.say("\nwritten to %s: table.md, table.csv, table.json, table.html", dir)
	return nil
}
