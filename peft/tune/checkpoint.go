package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
)

// ErrCheckpoint: a checkpoint that is damaged, of a format that isn't known, or of another
// run.
var ErrCheckpoint = errors.New("unusable checkpoint")

// A checkpoint is a directory with two files. It is written under another name, all of it
// is brought to the disk, and then it gets its name: it is complete or not there.
const (
	stateName   = "state.json"
	tensorsName = "tensors.safetensors"
	stepPrefix  = "step-"
)

// formatVersion is that of new checkpoints. Others aren't read.
const formatVersion = 1

// Saving says where and when to save checkpoints.
type Saving struct {
	Dir   string // of all checkpoints of the run; "": none
	Every int    // save after every so many steps; 0: only when a run ends before it is complete
	Keep  int    // so many of the newest are kept; 0 means 2
	Last  bool   // save after the last step too
	// Facts are what a run that goes on must have in common with this one: names, and
	// values or hashes, of the model, the data and the settings.
	Facts []Fact
	// Note returns what the caller wants to find in Checkpoint.Note. It is called before
	// each save; nil: nothing.
	Note func() (any, error)
}

// Fact is a property of a run.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Checkpoint is a saved state of a run.
type Checkpoint struct {
	Dir  string
	Step int             // how many steps have been taken
	Best *Best           // nil: nothing was evaluated yet
	Note json.RawMessage // what Saving.Note gave
	// Again says that a run that goes on yields the checkpoint's step once more: because
	// its evaluation was interrupted, which is then made, or because it was the last.
	Again bool
	file  state
}

// state is the content of state.json.
type state struct {
	Format  int             `json:"format"`
	Step    int             `json:"step"`    // of the optimizer, the schedule, the data and the seeds
	Seconds float64         `json:"seconds"` // of training and evaluation
	Best    *Best           `json:"best,omitempty"`
	Waited  int             `json:"evaluations_since_best"`
	Last    *lastStep       `json:"last,omitempty"` // if it is to be yielded again
	Facts   []Fact          `json:"facts"`
	SHA256  string          `json:"tensors_sha256"`
	Note    json.RawMessage `json:"note,omitempty"`
}

// lastStep is the record of a checkpoint's step.
type lastStep struct {
	Step  peft.Step `json:"step"`
	Score *Score    `json:"score,omitempty"`
	Stop  Reason    `json:"stop,omitempty"`
}

// Open reads a checkpoint: dir is one, or has some, of which the newest is taken that is
// whole. Errors wrap ErrCheckpoint, or fs.ErrNotExist if there is none.
func Open(dir string) (*Checkpoint, error) {
	if _, err := os.Stat(filepath.Join(dir, stateName)); err == nil {
		return openOne(dir)
	}
	steps, err := list(dir)
	if err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("%s: no checkpoint in it: %w", dir, os.ErrNotExist)
	}
	var first error
	for _, step := range slices.Backward(steps) {
		c, err := openOne(filepath.Join(dir, stepName(step)))
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// openOne reads a checkpoint and makes sure that it is whole.
func openOne(dir string) (*Checkpoint, error) {
	text, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	c, err := parse(dir, text)
	if err != nil {
		return nil, err
	}
	sum, err := HashFile(filepath.Join(dir, tensorsName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	if sum != c.file.SHA256 {
		return nil, fmt.Errorf("%s: %s is not what was saved: %w", dir, tensorsName, ErrCheckpoint)
	}
	return c, nil
}

// parse takes in the text of a directory's state.json.
func parse(dir string, text []byte) (*Checkpoint, error) {
	c := &Checkpoint{Dir: dir}
	if err := json.Unmarshal(text, &c.file); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", filepath.Join(dir, stateName), err, ErrCheckpoint)
	}
	switch {
	case c.file.Format != formatVersion:
		return nil, fmt.Errorf("%s: format %d, this version reads %d: %w", dir, c.file.Format, formatVersion, ErrCheckpoint)
	case c.file.Step < 0:
		return nil, fmt.Errorf("%s: step %d: %w", filepath.Join(dir, stateName), c.file.Step, ErrCheckpoint)
	}
	c.Step, c.Best, c.Note, c.Again = c.file.Step, c.file.Best, c.file.Note, c.file.Last != nil
	return c, nil
}

// Fits makes sure that a run with these facts may go on from the checkpoint. The error
// wraps ErrCheckpoint and names the first that differs.
func (c *Checkpoint) Fits(facts []Fact) error {
	values := map[string]string{}
	for _, f := range facts {
		values[f.Name] = f.Value
	}
	for _, f := range c.file.Facts {
		now, ok := values[f.Name]
		if !ok {
			now = "none"
		}
		if now != f.Value {
			return fmt.Errorf("%s was made with %s %s, this run has %s: %w", c.Dir, f.Name, f.Value, now, ErrCheckpoint)
		}
	}
	for _, f := range facts {
		if !slices.ContainsFunc(c.file.Facts, func(old Fact) bool { return old.Name == f.Name }) {
			return fmt.Errorf("%s was made without %s, this run has %s: %w", c.Dir, f.Name, f.Value, ErrCheckpoint)
		}
	}
	return nil
}

func stepName(step int) string { return fmt.Sprintf("%s%08d", stepPrefix, step) }

// list returns the steps of the checkpoints of a directory, ascending; none if it isn't there.
func list(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var steps []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), stepPrefix)
		if n, err := strconv.Atoi(digits); ok && err == nil && e.IsDir() && e.Name() == stepName(n) {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	return steps, err
}

// save saves a checkpoint after a step if one is due.
func (s *session) save(ctx context.Context, step Step) error {
	at := step.Step.Step
	due := s.Save.Every > 0 && at%s.Save.Every == 0
	if step.Stop != "" {
		due = s.Save.Last || !step.Stop.Complete()
	}
	if s.Save.Dir == "" || !due || s.lastSave == at {
		return nil
	}
	if err := s.write(ctx, step); err != nil {
		return fmt.Errorf("checkpoint of step %d: %w", at, err)
	}
	s.lastSave = at
	return nil
}

// write writes a checkpoint, and removes those that are too old.
func (s *session) write(ctx context.Context, step Step) error {
	at := step.Step.Step
	file := state{Format: formatVersion, Step: at, Seconds: s.elapsed().Seconds(), Waited: s.waited, Facts: s.Save.Facts}
	if s.pending || step.Stop.Complete() {
		file.Last = &lastStep{step.Step, step.Score, step.Stop}
	}
	if s.best != nil {
		file.Best = &s.best.Best
	}
	if s.Save.Note != nil {
		note, err := s.Save.Note()
		if err != nil {
			return err
		}
		if file.Note, err = json.Marshal(note); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.Save.Dir, 0o755); err != nil {
		return err
	}
	if err := disk.Clean(s.Save.Dir, ""); err != nil {
		return err
	}
	err := disk.Make(filepath.Join(s.Save.Dir, stepName(at)), true, func(dir string) (err error) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if file.SHA256, err = s.writeTensors(ctx, filepath.Join(dir, tensorsName)); err != nil {
			return err
		}
		text, err := json.MarshalIndent(file, "", "  ")
		if err != nil {
			return err
		}
		return disk.WriteBytes(filepath.Join(dir, stateName), text)
	})
	if err != nil {
		return err
	}
	return s.prune(at)
}

// prune removes all but the newest checkpoints, and those of steps that this run has yet
// to take: it went on from an older one.
func (s *session) prune(step int) error {
	steps, err := list(s.Save.Dir)
	if err != nil {
		return err
	}
	at := slices.Index(steps, step)
	keep := s.Save.Keep
	if keep == 0 {
		keep = 2
	}
	for i, old := range steps {
		if i <= at-keep || i > at {
			if err := disk.Remove(filepath.Join(s.Save.Dir, stepName(old))); err != nil {
				return err
			}
		}
	}
	return nil
}
