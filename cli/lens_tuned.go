package cli

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/interp"
)

// How a tuned lens is fitted: from pieces of so many tokens, with this much of the logit lens.
const (
	fitTokens = 64
	fitRidge  = 1
)

// fitLens makes a tuned lens of a text.
func (p *program) fitLens(c *cli.Context, out *output, b *base, with *adapterSet, ids []int32) error {
	pieces := slices.Collect(slices.Chunk(ids, fitTokens))
	if last := len(pieces) - 1; last > 0 && len(pieces[last]) < fitTokens {
		pieces = pieces[:last]
	}
	if err := b.fits(with, len(pieces[0])); err != nil {
		return err
	}
	b.explain(out)
	o := interp.Options{Adapters: with.adapters, Task: c.Int("task")}
	lens, err := interp.FitTunedLens(c.Context, b.model, pieces, fitRidge, o)
	if err != nil {
		return err
	}
	name := c.String("fit")
	if err := disk.Write(name, func(w io.Writer) error { return lens.Write(w, traceMetadata(c, b)) }); err != nil {
		return fmt.Errorf("--fit: %w", err)
	}
	r := fittedLens{b.name, name, len(pieces) * len(pieces[0]), len(lens.Weight)}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	_, err = fmt.Fprintf(out.result, "wrote %s: a lens for %s, from %s\n", r.Out, count(r.Places, "place"), count(r.Tokens, "token"))
	return err
}

// fittedLens is the result of lens --fit --json.
type fittedLens struct {
	Model  string `json:"model"`
	Out    string `json:"out"`
	Tokens int    `json:"tokens"`
	Places int    `json:"places"`
}

// readLens reads a text's stream, through the lens of --tuned if there is one.
func (b *base) readLens(c *cli.Context, ids [][]int32, o interp.Options) ([]interp.Lens, error) {
	name := c.String("tuned")
	if name == "" {
		return interp.LogitLens(c.Context, b.model, ids, c.Int("top"), o)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--tuned: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("--tuned: %w", err)
	}
	lens, err := interp.ReadTunedLens(f, info.Size(), b.model.Config)
	if err != nil {
		return nil, fmt.Errorf("--tuned %s: %w", name, err)
	}
	return lens.LogitLens(c.Context, b.model, ids, c.Int("top"), o)
}
