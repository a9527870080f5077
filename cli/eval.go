package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

const evalDescription = `Measures how well a model predicts data: the mean loss in nats, its exponential
(perplexity), and how often the right token is the most likely one. Of rows with a
class or with choices also how often the right one is likelier than the others: by
its probability, and for choices by that of its mean character (norm). With
--adapter it compares the bare model with the tuned one. Of a directory it takes the valid
file, else test, else train.

Examples:
   gpupeft eval --model llama --adapter adapter --data valid.jsonl
   gpupeft eval --model llama --data book.txt --max-seq-length 512 --json`

func (p *program) evalCommand() *cli.Command {
	return &cli.Command{
		Name:        "eval",
		Usage:       "loss, perplexity and accuracy on data, with and without an adapter",
		UsageText:   "gpupeft eval [options] --data PATH",
		Description: evalDescription,
		Action:      p.eval,
		Flags: append([]cli.Flag{
			previewFlag(0), modelFlag(), adaptersFlag(), promptScaleFlag(),
			&cli.StringFlag{Name: "data", Category: groupInput, Usage: "`PATH` of a file or directory, as for tune (default with the built-in model: its reviews)"},
			&cli.IntFlag{Name: "max-seq-length", Value: 128, Category: groupInput, Usage: "`TOKENS` of a sequence"},
			&cli.IntFlag{Name: "batch-size", Value: 8, Category: groupCompute, Usage: "`N` sequences that are computed together"},
			deviceFlag(), quantFlag(), jsonFlag("print one JSON object"), quietFlag(),
		}, dataFlags()...),
	}
}

// evaluation is the result of eval.
type evaluation struct {
	Model     string      `json:"model"`
	Adapter   string      `json:"adapter,omitempty"`
	Device    tensor.Info `json:"device"`
	Data      string      `json:"data"` // the file
	Format    data.Format `json:"format"`
	Why       string      `json:"format_why"`
	Examples  int         `json:"examples"`
	Truncated int         `json:"truncated"`
	Dropped   int         `json:"dropped"`
	Base      *score      `json:"base"`
	Tuned     *score      `json:"tuned,omitempty"`
}

func (p *program) eval(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	length, batch := c.Int("max-seq-length"), c.Int("batch-size")
	switch {
	case c.String("model") != "" && c.String("data") == "":
		return usagef("--data is missing: a file or directory to evaluate on")
	case length < 2:
		return usagef("--max-seq-length %d: want at least 2", length)
	case batch < 1:
		return usagef("--batch-size %d: want at least 1", batch)
	}
	out := p.output(c)
	b, with, err := openTuned(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	defer with.Close()
	o, err := b.dataOptions(c, length)
	if err != nil {
		return err
	}
	files, err := readData(c.Context, c.String("data"), o)
	if err != nil {
		return err
	}
	defer files.Close()
	b.explain(out)
	set := cmp.Or(files.Valid, files.Test, files.Train)
	e := evaluation{
		Model: b.name, Adapter: strings.Join(c.StringSlice("adapter"), ", "), Device: b.backend.Info(), Data: set.Name, Format: set.Format, Why: set.Why,
		Examples: set.Len(), Truncated: set.Truncated, Dropped: set.Dropped,
	}
	if err := b.preview(c, out, set); err != nil {
		return err
	}
	if e.Base, err = b.score(c, &adapterSet{}, set, batch); err != nil {
		return err
	}
	if len(with.methods) > 0 {
		if e.Tuned, err = b.score(c, with, set, batch); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(out.result, e)
	}
	return e.print(out.result)
}

// score evaluates the model with some adapters.
func (b *base) score(c *cli.Context, with *adapterSet, s *data.Set, batch int) (*score, error) {
	if length, positions := s.Longest()+with.taken(), b.model.Config.MaxPositions; length > positions {
		return nil, usagef("--max-seq-length: sequences of %d tokens with the virtual ones in a model with %d positions", length, positions)
	}
	r, err := b.model.NewRun(transformer.RunOptions{Batch: batch, Length: s.Longest() + with.virtual(), Adapters: with.adapters})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var choices *data.Choices
	if s.HasChoices() && c.Bool("mask-prompt") { // else rows don't say where the answer begins
		if choices, err = data.ChoicesOf(s, s.Classes); err != nil {
			return nil, err
		}
	}
	scored, err := b.evaluate(c.Context, r, s, s.Format, choices, batch)
	return scoreFrom(scored), err
}

func (e *evaluation) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s (%s), %s", e.Data, e.Format, e.Why, count(e.Examples, "example"))
	if e.Truncated > 0 {
		fmt.Fprintf(w, ", %d cut to --max-seq-length", e.Truncated)
	}
	if e.Dropped > 0 {
		fmt.Fprintf(w, ", %d left out: nothing to predict", e.Dropped)
	}
	fmt.Fprintf(w, "\ndevice %s\n\n", deviceName(e.Device))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\ttargets\tloss\tperplexity\taccuracy\t%s\n", exactTitle(e.Base))
	fmt.Fprintf(t, "bare model\t%s\t%s\n", thousands(e.Base.Targets), e.Base.row())
	if e.Tuned != nil {
		fmt.Fprintf(t, "with adapter\t%s\t%s\n", thousands(e.Tuned.Targets), e.Tuned.row())
	}
	return t.Flush()
}
