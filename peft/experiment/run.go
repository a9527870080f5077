package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft/results"
)

// stored is the file of a cell: its result, and what that is the result of.
type stored struct {
	Settings Settings      `json:"settings"`
	Trial    results.Trial `json:"trial"`
}

// resultName is the file in a cell's directory. It is written last.
const resultName = "result.json"

// Event is what happened to a cell.
type Event struct {
	Cell   Cell
	Number int // from 1
	Of     int
	Began  bool // it is running now; the other fields are empty
	Kept   bool // it was done before
	Trial  results.Trial
	Err    error // why it failed; the experiment goes on
	Took   time.Duration
}

// Runner runs a cell. The directory is the cell's own, exists, and is empty or has what
// an interrupted run of the same cell left. The names and the seed of the result are
// filled in by Run.
type Runner func(ctx context.Context, c Cell, dir string) (results.Trial, error)

// Run runs the cells of a plan below a directory, one after the other. A cell whose
// result is there, from the same settings, is kept; one that fails is reported and may
// succeed the next time. Cancelling ends it with the context's error.
func Run(ctx context.Context, p *Plan, dir string, run Runner) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		cells := p.Cells()
		for i, c := range cells {
			e := Event{Cell: c, Number: i + 1, Of: len(cells)}
			var err error
			if e.Trial, e.Kept, err = load(dir, c); err != nil {
				yield(e, err)
				return
			}
			if !e.Kept {
				if !yield(Event{Cell: c, Number: e.Number, Of: e.Of, Began: true}, nil) {
					return
				}
				start := time.Now()
				e.Trial, e.Err = runCell(ctx, dir, c, run)
				e.Took = time.Since(start)
			}
			if ctx.Err() != nil {
				yield(e, ctx.Err())
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Trials reads what is there of a plan's results, without running anything.
func Trials(p *Plan, dir string) ([]results.Trial, error) {
	var all []results.Trial
	for _, c := range p.Cells() {
		t, ok, err := load(dir, c)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, t)
		}
	}
	return all, nil
}

// Table compares trials by the plan's metric, and then by the others that any of them
// has.
func (p *Plan) Table(trials []results.Trial) *results.Table {
	list := []results.Metric{p.Metric}
	for _, m := range metrics {
		measured := func(t results.Trial) bool { _, ok := t.Metrics[m.metric.Name]; return ok }
		if m.metric != p.Metric && slices.ContainsFunc(trials, measured) {
			list = append(list, m.metric)
		}
	}
	return results.NewTable(p.Name, list, trials)
}

// load reads a cell's result, if it is there and from the same settings.
func load(dir string, c Cell) (t results.Trial, ok bool, err error) {
	name := filepath.Join(dir, filepath.FromSlash(c.Dir()), resultName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return t, false, nil
	}
	if err != nil {
		return t, false, err
	}
	var s stored
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return t, false, fmt.Errorf("%s: %v (delete it to run this again): %w", name, err, ErrPlan)
	}
	if !maps.Equal(s.Settings, c.Settings) || s.Trial.Baseline != c.Baseline {
		return t, false, fmt.Errorf("%s is the result of other settings: choose another directory, or delete it to run this again: %w", name, ErrPlan)
	}
	return c.named(s.Trial), true, nil
}

// named fills in whose result it is.
func (c Cell) named(t results.Trial) results.Trial {
	t.Model, t.Data, t.Method, t.Baseline, t.Seed = c.Model, c.Dataset, c.Method, c.Baseline, c.Seed
	return t
}

// runCell runs a cell and stores its result.
func runCell(ctx context.Context, dir string, c Cell, run Runner) (results.Trial, error) {
	own := filepath.Join(dir, filepath.FromSlash(c.Dir()))
	if err := os.MkdirAll(own, 0o755); err != nil {
		return results.Trial{}, err
	}
	t, err := run(ctx, c, own)
	if err != nil {
		return t, err
	}
	t = c.named(t)
	text, err := json.MarshalIndent(stored{c.Settings, t}, "", "  ")
	if err != nil {
		return t, fmt.Errorf("result: %w", err)
	}
	return t, disk.WriteBytes(filepath.Join(own, resultName), append(text, '\n'))
}
