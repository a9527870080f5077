package tune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"time"
)

// ErrWorker: the process of an isolated run was lost more often than it may be.
var ErrWorker = errors.New("the worker process was lost")

// Isolation is a run in a process of its own, the worker. What takes the worker down (a
// GPU whose driver crashes ends the process that uses it, and no error can be returned)
// costs the steps since the last checkpoint, and not the process that has started it.
type Isolation struct {
	// Command returns the command of a worker that goes on from a checkpoint, the newest
	// of Dir, or begins the run if it is nil. Often it is the program itself, with other
	// arguments. The worker saves checkpoints in Dir (Config.Save) and calls Attend; its
	// standard input is Isolate's.
	Command func(from *Checkpoint) (*exec.Cmd, error)
	Dir     string
	// Restarts is how often in a row a worker is started again that was lost before it had
	// saved a checkpoint. One that gets further may be lost any number of times.
	Restarts int
	// Lost tells by how a worker has ended whether another may fare better; nil: if it was
	// a signal, or an exit code other than 1, as of a process that Go's runtime has ended.
	Lost func(*os.ProcessState) bool
	// Restarting is told of each loss after which another worker is started; nil: nobody.
	Restarting func(WorkerLoss)
}

// WorkerLoss is the loss of a worker.
type WorkerLoss struct {
	State   *os.ProcessState
	From    *Checkpoint // where the next one goes on; nil: at the start
	InARow  int         // losses without a new checkpoint between them, this one included
	Allowed int         // Isolation.Restarts
}

// firstPause is the time before a worker is started again, for the driver to recover. It
// doubles with each loss in a row, to about a minute.
const firstPause = time.Second

// Isolate carries a run through in workers, one after the other. It returns nil when one
// ends well, an *exec.ExitError when one ends with a failure that isn't a loss, and an
// error that wraps ErrWorker and the last *exec.ExitError after too many losses. When the
// context is cancelled, the worker is asked to stop, and its end is waited for.
func Isolate(ctx context.Context, i Isolation) error {
	from, err := i.newest()
	for inARow := 1; err == nil; inARow++ {
		err = i.work(ctx, from)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || ctx.Err() != nil || !i.lost(exit.ProcessState) {
			return err
		}
		before := from
		if from, err = i.newest(); err != nil {
			break
		}
		if from != nil && (before == nil || from.Dir != before.Dir) {
			inARow = 1
		}
		if inARow > i.Restarts {
			return fmt.Errorf("%w %d times without a new checkpoint, at last by %w", ErrWorker, inARow, exit)
		}
		if i.Restarting != nil {
			i.Restarting(WorkerLoss{exit.ProcessState, from, inARow, i.Restarts})
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(firstPause << min(inARow-1, 6)):
		}
	}
	return err
}

// newest is where the next worker goes on.
func (i *Isolation) newest() (*Checkpoint, error) {
	c, err := Open(i.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return c, err
}

func (i *Isolation) lost(s *os.ProcessState) bool {
	if i.Lost != nil {
		return i.Lost(s)
	}
	return s.ExitCode() != 1
}

// work runs one worker. A byte on its standard input asks it to stop, the end of it says
// that this process is gone.
func (i *Isolation) work(ctx context.Context, from *Checkpoint) error {
	c, err := i.Command(from)
	if err != nil {
		return err
	}
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _, _ = in.Write([]byte{'\n'}) }) // one that has ended doesn't read it
	defer stop()
	return c.Wait()
}

// Attend is for the worker of an Isolation: it returns a context that is cancelled when
// Isolate's is. in is the worker's standard input. gone is called, once, when the process
// that has called Isolate is gone; the worker must end then, as by os.Exit, because that
// process may be started anew, and with it another worker.
func Attend(ctx context.Context, in io.Reader, gone func()) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for b := make([]byte, 1); ; cancel() {
			if _, err := io.ReadFull(in, b); err != nil {
				gone()
				return
			}
		}
	}()
	return ctx, cancel
}
