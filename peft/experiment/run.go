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
	"time"
)

// Result is what a cell gave.
type Result struct {
	Metrics    map[Metric]float64 `json:"metrics"` // on the held-out data; those that make sense
	HeldOut    int                `json:"held_out"`
	Params     int                `json:"params"` // trained values
	TokensPerS float64            `json:"tokens_per_s"`
	PeakBytes  int64              `json:"peak_bytes"`
	Seconds    float64            `json:"seconds"` // of training
}

// stored is the file of a cell: its result, and what that is the result of.
type stored struct {
	Settings Settings `json:"settings"`
	Baseline string   `json:"baseline,omitempty"`
	Result   Result   `json:"result"`
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
	Result Result
	Err    error // why it failed; the experiment goes on
	Took   time.Duration
}

// Runner runs a cell. The directory is the cell's own, exists, and is empty or has what
// an interrupted run of the same cell left.
type Runner func(ctx context.Context, c Cell, dir string) (Result, error)

// Run runs the cells of a plan below a directory, one after the other. A cell whose
// result is there, from the same settings, is kept; one that fails is reported and may
// succeed the next time. Cancelling ends it with the context's error.
func Run(ctx context.Context, p *Plan, dir string, run Runner) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		cells := p.Cells()
		for i, c := range cells {
			e := Event{Cell: c, Number: i + 1, Of: len(cells)}
			var err error
			if e.Result, e.Kept, err = load(dir, c); err != nil {
				yield(e, err)
				return
			}
			if !e.Kept {
				if !yield(Event{Cell: c, Number: e.Number, Of: e.Of, Began: true}, nil) {
					return
				}
				start := time.Now()
				e.Result, e.Err = runCell(ctx, dir, c, run)
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

// Results reads what is there of a plan's results, without running anything.
func Results(p *Plan, dir string) (map[string]Result, error) {
	all := map[string]Result{}
	for _, c := range p.Cells() {
		r, ok, err := load(dir, c)
		if err != nil {
			return nil, err
		}
		if ok {
			all[c.Dir()] = r
		}
	}
	return all, nil
}

// load reads a cell's result, if it is there and from the same settings.
func load(dir string, c Cell) (r Result, ok bool, err error) {
	name := filepath.Join(dir, filepath.FromSlash(c.Dir()), resultName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	var s stored
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return r, false, fmt.Errorf("%s: %v (delete it to run this again): %w", name, err, ErrPlan)
	}
	if !maps.Equal(s.Settings, c.Settings) || s.Baseline != c.baseline() {
		return r, false, fmt.Errorf("%s is the result of other settings: choose another directory, or delete it to run this again: %w", name, ErrPlan)
	}
	return s.Result, true, nil
}

func (c Cell) baseline() string {
	if c.Baseline {
		return c.Method
	}
	return ""
}

// runCell runs a cell and stores its result.
func runCell(ctx context.Context, dir string, c Cell, run Runner) (Result, error) {
	own := filepath.Join(dir, filepath.FromSlash(c.Dir()))
	if err := os.MkdirAll(own, 0o755); err != nil {
		return Result{}, err
	}
	r, err := run(ctx, c, own)
	if err != nil {
		return r, err
	}
	text, err := json.MarshalIndent(stored{c.Settings, c.baseline(), r}, "", "  ")
	if err != nil {
		return r, fmt.Errorf("result: %w", err)
	}
	temp := filepath.Join(own, "."+resultName)
	if err = os.WriteFile(temp, append(text, '\n'), 0o644); err == nil {
		err = os.Rename(temp, filepath.Join(own, resultName))
	}
	return r, err
}
