package cli

import (
	"errors"
	"fmt"

	"github.com/gpupeft/gpupeft/peft/runlog"
)

// logFlags are the flags that name a log of steps.
var logFlags = []struct {
	name string
	open func(name string, after int) (runlog.Writer, error)
}{
	{"log-jsonl", runlog.OpenJSONL},
	{"log-csv", runlog.OpenCSV},
	{"tensorboard", runlog.OpenTensorBoard},
}

// openLogs opens the logs that are named, for a run that goes on after a step.
func openLogs(names map[string]string, after int) (runlog.Writer, error) {
	var logs []runlog.Writer
	for _, f := range logFlags {
		if names[f.name] == "" {
			continue
		}
		w, err := f.open(names[f.name], after)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("--%s: %w", f.name, err), runlog.Several(logs...).Close())
		}
		logs = append(logs, w)
	}
	return runlog.Several(logs...), nil
}
