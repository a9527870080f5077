package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpupeft/gpupeft/peft/tune"
)

// defaultOut is --out if it isn't given.
const defaultOut = "gpupeft-out"

// checkpointsSuffix makes the name of the directory of a run's checkpoints of its --out.
const checkpointsSuffix = "-checkpoints"

// resumeAuto is the --resume that finds the checkpoint itself.
const resumeAuto = "auto"

// checkpoints is where the run's checkpoints are.
func (p *plan) checkpoints() string { return filepath.Clean(p.out) + checkpointsSuffix }

// place settles where the adapter goes, and where the run goes on.
func (p *plan) place() (err error) {
	switch p.resume {
	case "":
		err = p.placeNew()
	case resumeAuto:
		err = p.placeAuto()
	default:
		err = p.placeAfter()
	}
	if err != nil || p.done != nil {
		return err
	}
	return checkWritable(p.out)
}

// placeNew takes --out, or the first default name that is free.
func (p *plan) placeNew() error {
	if p.out == "" {
		p.out = firstFree(defaultOut)
		return nil
	}
	if err := p.vacant(false); err != nil {
		return err
	}
	if _, err := tune.Open(p.checkpoints()); !errors.Is(err, fs.ErrNotExist) {
		return usagef("--out %s: an unfinished run has left %s (go on with --resume auto, or remove it)", p.out, p.checkpoints())
	}
	return nil
}

// placeAuto goes on from the newest checkpoint of --out or of the last default name, if
// there is one.
func (p *plan) placeAuto() error {
	if p.out == "" {
		p.out = lastTaken(defaultOut)
	}
	var err error
	if p.from, err = tune.Open(p.checkpoints()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--resume: %w", err)
	}
	if text, complete := savedRun(p.out); complete {
		p.done = text
		if p.keep > 0 {
			return nil
		}
		return os.RemoveAll(p.checkpoints()) // it was killed between the two
	}
	return p.vacant(p.from != nil)
}

// placeAfter goes on from the checkpoint that --resume names.
func (p *plan) placeAfter() (err error) {
	if p.from, err = tune.Open(p.resume); err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	if p.out != "" {
		return p.vacant(true)
	}
	out, ok := strings.CutSuffix(filepath.Dir(p.from.Dir), checkpointsSuffix)
	if !ok {
		p.out = firstFree(defaultOut)
		return nil
	}
	p.out = out
	return p.vacant(true)
}

// vacant makes sure that nothing is lost if the adapter is saved as --out. What an
// interrupted run has left may be replaced by its continuation.
func (p *plan) vacant(continued bool) error {
	entries, err := os.ReadDir(p.out)
	switch {
	case os.IsNotExist(err), err == nil && len(entries) == 0:
		return nil
	case err == nil:
		if text, complete := savedRun(p.out); continued && text != nil && !complete {
			return nil
		}
		return usagef("--out %s is not empty (nothing is overwritten: choose another directory)", p.out)
	}
	if info, e := os.Stat(p.out); e == nil && !info.IsDir() {
		return usagef("--out %s: not a directory", p.out)
	}
	return fmt.Errorf("--out %s: %w", p.out, err)
}

// savedRun returns the run.json of an adapter, and whether its run is complete; nil if
// there is none.
func savedRun(dir string) (text []byte, complete bool) {
	text, err := os.ReadFile(filepath.Join(dir, runName))
	var r struct {
		Interrupted *bool
		Stop        tune.Reason
	}
	if err != nil || json.Unmarshal(text, &r) != nil || r.Interrupted == nil {
		return nil, false
	}
	return text, r.Stop.Complete() || r.Stop == "" && !*r.Interrupted
}

// printSaved prints the report of a run that is complete.
func printSaved(out *output, text []byte, asJSON bool) error {
	if !asJSON {
		return nil
	}
	_, err := out.result.Write(text)
	return err
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// firstFree returns name, or name-2, name-3, ...: the first that neither an adapter nor
// checkpoints have.
func firstFree(name string) string {
	free := name
	for n := 2; exists(free) || exists(free+checkpointsSuffix); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// lastTaken returns the last of these names that has checkpoints, or the first if none
// has.
func lastTaken(name string) string {
	last := name
	for n, at := 2, name; exists(at) || exists(at+checkpointsSuffix); n++ {
		if exists(at + checkpointsSuffix) {
			last = at
		}
		at = fmt.Sprintf("%s-%d", name, n)
	}
	return last
}
