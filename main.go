// Command gpupeft fine-tunes Llama, Mistral and Gemma models on any GPU, or on the
// CPU. Run "gpupeft help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gpupeft/gpupeft/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the process at once
	os.Exit(cli.Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
