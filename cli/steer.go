package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

const steerDescription = `Makes a steering vector: the mean of an activation at the last token of some texts, less
that of others. Added at every token, it steers generated text from the one kind to the
other; how far, the factor says.

Examples:
   gpupeft steer --model llama --toward happy.txt --away sad.txt --out happy.safetensors
   gpupeft generate --model llama -p "I think that" --steer happy.safetensors:4`

func (p *program) steerCommand() *cli.Command {
	return &cli.Command{
		Name:        "steer",
		Usage:       "make a steering vector from two sets of texts",
		UsageText:   "gpupeft steer [options] --toward FILE --away FILE --out FILE",
		Description: steerDescription,
		Action:      p.steer,
		Flags: []cli.Flag{
			modelFlag(), adaptersFlag(), promptScaleFlag(),
			&cli.StringFlag{Name: "toward", Category: groupInput, Usage: "`FILE` of texts to steer to, one a line"},
			&cli.StringFlag{Name: "away", Category: groupInput, Usage: "`FILE` of texts to steer from, one a line"},
			&cli.StringFlag{Name: "hook", Category: groupInput, DefaultText: "the stream in the middle", Usage: "`NAME` of the activation: gpupeft capture --hooks ? lists them"},
			&cli.StringFlag{Name: "out", Category: groupOutput, Usage: "`FILE`.safetensors to write"},
			deviceFlag(), quantFlag(), quietFlag(),
		},
	}
}

func (p *program) steer(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	for _, name := range []string{"toward", "away", "out"} {
		if c.String(name) == "" {
			return usagef("--%s is missing", name)
		}
	}
	out := p.output(c)
	b, with, err := openTuned(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	defer with.Close()
	toward, err := b.textLines("toward", c.String("toward"), with)
	if err != nil {
		return err
	}
	away, err := b.textLines("away", c.String("away"), with)
	if err != nil {
		return err
	}
	hook := c.String("hook")
	if hook == "" {
		hook = transformer.Site{Layer: len(b.model.Config.Layers) / 2, Point: transformer.ResidPre}.String()
	}
	b.explain(out)
	v, err := interp.SteeringVector(c.Context, b.model, hook, toward, away, interp.Options{Adapters: with.adapters})
	if err != nil {
		return err
	}
	name := c.String("out")
	err = disk.Write(name, func(w io.Writer) error {
		return interp.WriteSteering(w, traceMetadata(c, b), interp.Steering{Hook: hook, Vector: v, Factor: 1})
	})
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	out.say("wrote %s: %s of %s, from %s and %s", name, count(len(v), "value"), hook, count(len(toward), "text"), count(len(away), "text"))
	return nil
}

// textLines reads the texts of a flag's file, one a line; empty lines are left out.
func (b *base) textLines(flag, name string, with *adapterSet) ([][]int32, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	tok, err := b.needTokens()
	if err != nil {
		return nil, err
	}
	var all [][]int32
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		ids, err := data.EncodePrompt(tok, line)
		if err == nil {
			err = b.fits(with, len(ids))
		}
		if err != nil {
			return nil, fmt.Errorf("--%s %s:%d: %w", flag, name, number, err)
		}
		all = append(all, ids)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("--%s %s: no texts", flag, name)
	}
	return all, nil
}

func steerFlag() cli.Flag {
	return &cli.StringFlag{Name: "steer", Category: groupInput, Usage: "`FILE` of gpupeft steer, added at every token; FILE:4 adds it four times"}
}

// openSteering reads --steer; nil without it.
func (b *base) openSteering(c *cli.Context) (*interp.Steer, error) {
	value := c.String("steer")
	if value == "" {
		return nil, nil
	}
	name, factor, err := splitFactor(value)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--steer: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	vectors, err := interp.ReadSteering(f, info.Size())
	for i := range vectors {
		vectors[i].Factor = float32(factor)
	}
	var s *interp.Steer
	if err == nil {
		s, err = interp.NewSteer(c.Context, b.model, vectors...)
	}
	if err != nil {
		return nil, fmt.Errorf("--steer %s: %w", name, err)
	}
	return s, nil
}
