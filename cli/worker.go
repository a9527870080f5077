package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/peft/tune"
)

// workerEnv marks the process of an isolated run.
const workerEnv = "GPUPEFT_WORKER"

// Exit codes of a worker that are not those of the program, from sysexits.h. Go's runtime
// ends a process with the 2 that stands for usage elsewhere.
const (
	workerUsage       = 64
	workerUnavailable = 69
	workerLost        = 75
)

// defaultRestarts is --restarts where the run is isolated.
const defaultRestarts = 3

// workerCode is the exit code of a worker, by the program's.
func workerCode(code int, err error) int {
	switch {
	case errors.Is(err, gpu.ErrLost):
		return workerLost
	case errors.Is(err, gpu.ErrUnavailable):
		return workerUnavailable
	case code == codeUsage:
		return workerUsage
	}
	return code
}

// workerExit is a worker's orderly end, the reason for which it has printed.
type workerExit struct {
	exit int
	said string
}

func (e workerExit) Error() string { return e.said }

func (e workerExit) code() int {
	switch e.exit {
	case workerUsage:
		return codeUsage
	case workerUnavailable:
		return codeFailed
	}
	return e.exit
}

// orderly says whether a worker has ended by itself, and has said why.
func orderly(code int) bool {
	return slices.Contains([]int{codeFailed, workerUsage, workerUnavailable, codeInterrupted}, code)
}

// restarts is how often a run that is isolated may be started again; 0: it isn't isolated.
// Only a worker loads a GPU's driver, so it is not known yet what --device auto will take.
func (p *program) restarts(c *cli.Context) int {
	switch {
	case p.self == "":
		return 0
	case c.IsSet("restarts"):
		return c.Int("restarts")
	case c.String("device") == "cpu":
		return 0
	}
	return defaultRestarts
}

// isolate carries tune through in a process of its own.
func (p *program) isolate(c *cli.Context, plan *plan, out *output) error {
	began, workers := time.Now(), 0
	var older *tune.Checkpoint // of another run, or of steps that are to be taken again
	var crash *crashFilter
	err := tune.Isolate(c.Context, tune.Isolation{
		Dir: plan.checkpoints(), Restarts: p.restarts(c),
		Command: func(from *tune.Checkpoint) (*exec.Cmd, error) {
			if workers++; workers == 1 {
				older = from
			}
			own := from != nil && (older == nil || from.Dir != older.Dir)
			w := exec.Command(p.self, slices.Concat(p.args, plan.again(workers, own, time.Since(began)))...)
			w.Env = append(os.Environ(), workerEnv+"=1")
			crash = &crashFilter{to: p.err}
			w.Stdout, w.Stderr = p.out, crash
			return w, nil
		},
		Lost: func(s *os.ProcessState) bool {
			return !orderly(s.ExitCode()) || s.ExitCode() == workerUnavailable && workers > 1
		},
		Restarting: func(l tune.WorkerLoss) {
			where := "the start"
			if l.From != nil {
				where = fmt.Sprintf("step %d", l.From.Step)
			}
			reason := cmp.Or(crash.reason(), l.State.String())
			if code := l.State.ExitCode(); code == workerLost || code == workerUnavailable {
				reason = crash.said()
			}
			out.warn("the process that computes was lost (%s): going on from %s, restart %d of %d without a new checkpoint", reason, where, l.InARow, l.Allowed)
		},
	})
	var exit *exec.ExitError
	switch {
	case errors.Is(err, tune.ErrWorker):
		if r := crash.reason(); r != "" {
			err = fmt.Errorf("%w: %s", err, r)
		}
		return fmt.Errorf("%w; %s (perhaps the GPU's driver: gpupeft doctor, --device cpu)", err, plan.goOn())
	case errors.As(err, &exit) && orderly(exit.ExitCode()):
		return workerExit{exit.ExitCode(), crash.said()}
	}
	return err
}

// again are the arguments of a worker besides those of the command line, which they win
// against: the same --out for all, and for later ones, where to go on, which is where the
// first one began unless a checkpoint of their own is there, and the time that is left.
func (p *plan) again(worker int, own bool, passed time.Duration) []string {
	args := []string{"--out", p.out}
	if worker == 1 {
		return args
	}
	if own || p.resume == "" {
		args = append(args, "--resume", resumeAuto)
	}
	if p.maxTime > 0 {
		args = append(args, "--max-time", max(p.maxTime-passed, time.Millisecond).String())
	}
	return args
}

// goOn says what a run that was lost has left.
func (p *plan) goOn() string {
	if c, err := tune.Open(p.checkpoints()); err == nil {
		return fmt.Sprintf("%s is whole: --out %s --resume auto goes on from there", c.Dir, p.out)
	}
	return "no checkpoint had been saved"
}
