// Command gpupeft fine-tunes Llama, Mistral and Gemma models on any GPU, or on the
// CPU. Run "gpupeft help".
package main

import (
	"os"
	"runtime/debug"

	"github.com/gpupeft/gpupeft/cli"
)

// gcPercent is how much garbage may lie about, as a share of what lives. That is model
// weights and activations for the most part, large pieces without pointers in them: to
// collect often costs nothing, and the default of 100 would double the memory.
const gcPercent = 10

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(cli.Main())
}
