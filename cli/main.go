package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gpupeft/gpupeft/peft/tune"
)

// Main is Run for a program that does nothing else: with the process' arguments and
// standard streams, cancelled by SIGINT and SIGTERM. A tuning run on a GPU gets a process
// of its own, which is this program once more.
func Main() int {
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	if os.Getenv(workerEnv) != "" {
		// A terminal sends its signals to both processes, and the first one decides.
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		ctx, cancel := tune.Attend(context.Background(), os.Stdin, func() { os.Exit(codeInterrupted) })
		defer cancel()
		p.worker = true
		return p.run(ctx, os.Args)
	}
	if self, err := os.Executable(); err == nil {
		p.self = self
	}
	return p.run(untilSignal(), os.Args)
}

// untilSignal returns a context that the first signal cancels. The second one ends the
// process at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals)
		cancel(Signal{Signal: s})
	}()
	return ctx
}
