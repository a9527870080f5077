package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/formats"
	"github.com/gpupeft/gpupeft/transformer"
)

const convertDescription = `Reads an adapter in any of these formats and writes it in another:

   peft         HF PEFT: adapter_config.json, adapter_model.safetensors (or .bin)
   adapterhub   adapters: adapter_config.json, adapter.safetensors (or .bin)
   mlx          mlx-lm: adapter_config.json, adapters.safetensors
   gguf         llama.cpp: a LoRA file; needs --model
   litgpt       litgpt: lit_model.pth.lora and others; is only read

What a format can't express is refused by name. Values are kept as they are.

Examples:
   gpupeft convert --adapter adapter --to mlx --out for-mlx
   gpupeft convert --adapter adapter --model llama --to gguf --out adapter.gguf`

func (p *program) convertCommand() *cli.Command {
	return &cli.Command{
		Name:        "convert",
		Usage:       "write an adapter in another program's format",
		UsageText:   "gpupeft convert --adapter DIR --to FORMAT --out PATH",
		Description: convertDescription,
		Flags: []cli.Flag{
			adapterFlag(), modelFlag(),
			&cli.StringFlag{Name: "to", Category: groupOutput, Usage: "`FORMAT`: " + strings.Join(writable(), ", ")},
			&cli.StringFlag{Name: "out", Category: groupOutput, Usage: "`PATH` of a new directory, or for gguf of a new file"},
			&cli.StringFlag{Name: "name", Value: "gpupeft", Category: groupOutput, Usage: "adapterhub, gguf: the adapter's `NAME`"},
			jsonFlag("print one JSON object"), quietFlag(),
		},
		Action: p.convert,
	}
}

func writable() []string {
	var names []string
	for _, f := range formats.Writable() {
		names = append(names, string(f))
	}
	return names
}

// converted is the result of convert --json.
type converted struct {
	Adapter string         `json:"adapter"`
	From    formats.Format `json:"from"`
	To      formats.Format `json:"to"`
	Out     string         `json:"out"`
	Method  string         `json:"method"`
	Params  int            `json:"params"`
}

func (p *program) convert(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	for _, flag := range []string{"adapter", "to", "out"} {
		if c.String(flag) == "" {
			return usagef("--%s is missing", flag)
		}
	}
	name, to := c.String("adapter"), formats.Format(c.String("to"))
	dst, err := newOut(c)
	if err != nil {
		return err
	}
	config, err := optionalConfig(c)
	if err != nil {
		return err
	}
	o := formats.Options{Model: config, Name: c.String("name")}
	s, from, err := readState(name, o)
	if err != nil {
		return err
	}
	out := p.output(c)
	for _, w := range s.Warnings {
		out.warn("--adapter %s: %s", name, w)
	}
	if err := formats.Check(s, to, o); err != nil {
		return needsModel(err, c)
	}
	if err := checkWritable(dst); err != nil {
		return err
	}
	if err := disk.Make(dst, false, func(temp string) error { return formats.Write(temp, s, to, o) }); err != nil {
		return err
	}
	r := converted{name, from, to, dst, s.Config.Name(), countValues(s)}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	_, err = fmt.Fprintf(out.result, "%s (%s, %s) written to %s as %s\n", name, r.Method, from, dst, to)
	return err
}

// newOut is --out, which must be a new name.
func newOut(c *cli.Context) (string, error) {
	dst := filepath.Clean(c.String("out"))
	if _, err := os.Lstat(dst); err == nil {
		return "", usagef("--out %s exists (nothing is overwritten: choose another name)", dst)
	}
	return dst, nil
}

// readState reads an adapter for convert and inspect-adapter.
func readState(name string, o formats.Options) (*peft.State, formats.Format, error) {
	s, f, err := formats.Read(name, o)
	if err != nil {
		if os.IsNotExist(err) {
			err = fmt.Errorf("%s: no such file or directory", name)
		}
		return nil, f, err
	}
	return s, f, nil
}

// optionalConfig is the configuration of --model, or nil without it.
func optionalConfig(c *cli.Context) (*transformer.Config, error) {
	if c.String("model") == "" {
		return nil, nil
	}
	ckpt, _, _, _, err := openModel(c.String("model"), true)
	if err != nil {
		return nil, err
	}
	return ckpt.Config, ckpt.Close()
}

// needsModel makes a usage error of one that --model would help.
func needsModel(err error, c *cli.Context) error {
	if errors.Is(err, peft.ErrConfig) && c.String("model") == "" {
		return usagef("%w (--model)", err)
	}
	return err
}

func countValues(s *peft.State) int {
	n := 0
	for _, t := range s.Tensors {
		n += len(t.Values)
	}
	return n
}
