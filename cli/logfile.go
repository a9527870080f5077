package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft/runlog"
)

// runLog is what a run writes about its steps: log.jsonl beside its checkpoints, where it
// can be followed and outlives them, and what flags ask for. A nil one does nothing.
type runLog struct {
	runlog.Writer
	name string // of log.jsonl
}

// openLog opens the logs of a run that goes on after some steps: of those that are there,
// the records up to then stay.
func (p *plan) openLog() (_ *runLog, err error) {
	l := &runLog{Writer: runlog.Several(), name: filepath.Join(p.checkpoints(), logName)}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close(), l.discard())
		}
	}()
	if err := p.moveLog(l.name); err != nil {
		return nil, err
	}
	for _, log := range []struct {
		flag, name string
		open       func(name string, after int) (runlog.Writer, error)
	}{
		{"", l.name, runlog.OpenJSONL},
		{"--log-jsonl: ", p.logFiles.jsonl, runlog.OpenJSONL},
		{"--log-csv: ", p.logFiles.csv, runlog.OpenCSV},
		{"--tensorboard: ", p.logFiles.tensorboard, p.openTensorBoard},
	} {
		if log.name == "" {
			continue
		}
		w, err := log.open(log.name, p.logged())
		if err != nil {
			return nil, fmt.Errorf("%s%w", log.flag, err)
		}
		l.Writer = runlog.Several(l.Writer, w)
	}
	return l, nil
}

// openTensorBoard lets a run with --resume replace what it had written before its first
// checkpoint.
func (p *plan) openTensorBoard(dir string, after int) (runlog.Writer, error) {
	if after == 0 && p.resume != "" {
		return runlog.RestartTensorBoard(dir)
	}
	return runlog.OpenTensorBoard(dir, after)
}

// moveLog makes the directory of the log, and takes the log along if the run goes on from
// the checkpoint of another directory.
func (p *plan) moveLog(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if p.from == nil || filepath.Dir(p.from.Dir) == p.checkpoints() {
		return nil
	}
	err := copyFile(name, filepath.Join(filepath.Dir(p.from.Dir), logName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// copyTo gives the adapter its log.
func (l *runLog) copyTo(dir string) error {
	return copyFile(filepath.Join(dir, logName), l.name)
}

// close ends the log, which goes if it is all that a run has left. It may be called twice.
func (l *runLog) close() error {
	if l == nil {
		return nil
	}
	return errors.Join(l.Close(), l.discard())
}

// discard removes the log unless there are checkpoints beside it.
func (l *runLog) discard() error {
	entries, err := os.ReadDir(filepath.Dir(l.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != logName {
		return err
	}
	return os.RemoveAll(filepath.Dir(l.name))
}

// copyFile copies a file.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return disk.Write(to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}
