package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Run executes a command line, args[0] being the program's name, and returns the
// exit code. It may be called several times in a process.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return (&program{in: stdin, out: stdout, err: stderr}).run(ctx, args)
}

// program is one execution.
type program struct {
	in       io.Reader
	out, err io.Writer
	args     []string // of the command line, without the program's name
	self     string   // the program's file, if it may be started for isolated runs; else ""
	worker   bool     // it is the worker of an isolated run
}

// run executes a command line.
func (p *program) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		args = []string{"gpupeft"}
	}
	p.args = args[1:]
	err := p.app().RunContext(ctx, args)
	var worker workerExit
	if said := errors.As(err, &worker); err != nil && !said {
		if ctx.Err() != nil {
			err = errInterrupted
		}
		fmt.Fprintln(p.err, "gpupeft: "+oneLine(err))
	}
	code := exitCode(err)
	var signal Signal
	if code == codeInterrupted && errors.As(context.Cause(ctx), &signal) && signal.Signal == syscall.SIGTERM {
		code = codeTerminated
	}
	if p.worker {
		code = workerCode(code, err)
	}
	return code
}

const description = `gpupeft trains small additions to a frozen Llama, Mistral or Gemma model: soft
prompts, LoRA and other adapters, saved in the format of Hugging Face PEFT. It
computes on any GPU that Vulkan, Metal or Direct3D 12 reach, and on the CPU.

Try it without any files; this trains a small built-in model for about a minute:

   gpupeft tune

Then on your own:

   gpupeft tune --model DIR --data FILE --out adapter
   gpupeft eval --model DIR --adapter adapter --data FILE
   gpupeft generate --model DIR --adapter adapter -p "Once upon a time"
   gpupeft chat --model DIR --adapter adapter

"gpupeft help COMMAND" lists a command's options with their defaults.`

// app builds the tree of commands.
func (p *program) app() *cli.App {
	app := &cli.App{
		Name:            "gpupeft",
		Usage:           "fine-tune language models on any GPU",
		UsageText:       "gpupeft COMMAND [options]",
		Description:     description,
		HideHelpCommand: true, // the command below says more
		Reader:          p.in,
		Writer:          p.out,
		ErrWriter:       p.err,
		// Errors are printed and turned into an exit code by Run.
		ExitErrHandler: func(*cli.Context, error) {},
		// The library adds this flag only together with a help command of its own.
		Flags:        []cli.Flag{&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, DisableDefaultText: true, Usage: "show help"}},
		OnUsageError: onUsageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("unknown command %q (see: gpupeft help)", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{
			p.tuneCommand(), p.experimentCommand(), p.generateCommand(), p.chatCommand(), p.evalCommand(), p.dataDoctorCommand(), p.inspectAdapterCommand(),
			p.captureCommand(), p.inspectHeadsCommand(), p.lensCommand(), p.patchCommand(), p.edgesCommand(), p.steerCommand(), p.circuitsCommand(),
			p.convertCommand(), p.combineCommand(), p.mergeCommand(), p.reportCommand(), p.quantizeCommand(), p.benchCommand(), p.tokenizeCommand(),
			p.devicesCommand(), p.doctorCommand(), p.versionCommand(), helpCommand(),
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
	}
	return app
}

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "list a command's options and their defaults",
		UsageText: "gpupeft help [COMMAND]",
		Action: func(c *cli.Context) error {
			name := c.Args().First()
			if name == "" {
				return cli.ShowAppHelp(c)
			}
			command := c.App.Command(name)
			if command == nil {
				return usagef("unknown command %q (see: gpupeft help)", name)
			}
			for _, sub := range command.Subcommands {
				if sub.Name == c.Args().Get(1) {
					return c.App.RunContext(c.Context, []string{c.App.Name, name, sub.Name, "--help"})
				}
			}
			return cli.ShowCommandHelp(c, name)
		},
	}
}

// noArguments refuses what stands behind the flags.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("unexpected argument %q (see: %s)", c.Args().First(), helpOn(c))
	}
	return nil
}

// helpOn is the command line that explains a command.
func helpOn(c *cli.Context) string {
	_, name, _ := strings.Cut(c.Command.HelpName, " ")
	return strings.TrimSpace("gpupeft help " + name)
}
