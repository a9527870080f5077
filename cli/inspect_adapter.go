package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp/view"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/formats"
)

const inspectAdapterDescription = `Says what an adapter in any format is: its method and settings, the model it was made
for, its values by layer, and which formats it can be converted to.

With --model, the vectors of a soft prompt are compared with the model's embeddings:
the tokens are those with the largest cosine.

--html makes a page of what the adapter changes inside its model, on a text or on random
tokens: the scores of all heads without and with it, how far the layers come apart, the
attention to a soft prompt, what its vectors say, and the directions of a LoRA's change.
It is what inspect-heads --diff shows. Without --model, the model is the built-in one.

Examples:
   gpupeft inspect-adapter adapter
   gpupeft inspect-adapter --model llama prompt
   gpupeft inspect-adapter --model llama --html tuning.html -p "Review: The soup was cold." prompt`

func (p *program) inspectAdapterCommand() *cli.Command {
	return &cli.Command{
		Name:        "inspect-adapter",
		Usage:       "say what an adapter is and holds",
		UsageText:   "gpupeft inspect-adapter [options] DIR",
		Description: inspectAdapterDescription,
		Flags: slices.Concat([]cli.Flag{modelFlag(), promptScaleFlag()}, inputFlags(), randomFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "ablate", Category: groupScores, DisableDefaultText: true, Usage: "with --html, add what removing each head does: two runs for each"},
			&cli.IntFlag{Name: "top", Value: 3, Category: groupOutput, Usage: "`N` nearest tokens of each vector"},
			&cli.StringFlag{Name: "html", Category: groupOutput, Usage: "`FILE` for a page with what the adapter changes inside the model; it needs no network"},
			deviceFlag(), quantFlag(), jsonFlag("print one JSON object"), quietFlag(),
		}),
		Action: p.inspectAdapter,
	}
}

// inspected is the result of inspect-adapter --json.
type inspected struct {
	Adapter  string            `json:"adapter"`
	Format   formats.Format    `json:"format"`
	Method   string            `json:"method"`
	Base     string            `json:"base_model,omitempty"`
	Params   int               `json:"params"`
	Settings peft.Config       `json:"settings"`
	Parts    []peft.PartNorm   `json:"parts"`
	Prompt   [][]nearToken     `json:"prompt,omitempty"` // the nearest tokens of each vector
	Tuning   *tuningReport     `json:"tuning,omitempty"` // with --html
	Writable map[string]string `json:"writable"`         // by format: "" or why not
	Warnings []string          `json:"warnings,omitempty"`
}

// nearToken is a token near a vector of a soft prompt.
type nearToken struct {
	ID     int32   `json:"id"`
	Text   string  `json:"text"`
	Cosine float64 `json:"cosine"`
}

func (p *program) inspectAdapter(c *cli.Context) error {
	name := c.Args().First()
	switch {
	case c.NArg() != 1:
		return usagef("inspect-adapter: want one directory or file, after the options")
	case c.Int("top") < 1:
		return usagef("--top %d: want at least 1", c.Int("top"))
	}
	if err := checkRandom(c); err != nil {
		return err
	}
	config, err := optionalConfig(c)
	if err != nil {
		return err
	}
	o := formats.Options{Model: config}
	s, f, err := readState(name, o)
	if err != nil {
		return needsModel(err, c)
	}
	r := inspected{
		Adapter: name, Format: f, Method: s.Config.Name(), Base: s.Base, Params: countValues(s), Settings: s.Config,
		Parts: s.Norms(), Warnings: s.Warnings, Writable: map[string]string{},
	}
	for _, to := range formats.Writable() {
		r.Writable[string(to)] = ""
		if err := formats.Check(s, to, o); err != nil {
			r.Writable[string(to)] = oneLine(err)
		}
	}
	out := p.output(c)
	if prompt, ok := s.Prompt(); ok && config != nil || c.String("html") != "" {
		if err := p.inspectWith(c, out, s, prompt, &r); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	if err := r.print(out.result); err != nil || c.String("html") == "" {
		return err
	}
	_, err = fmt.Fprintf(out.result, "\nwrote %s\n", c.String("html"))
	return err
}

// nearest compares the vectors of a soft prompt with the model's embeddings.
func (b *base) nearest(ctx context.Context, prompt peft.Matrix, top int) ([][]nearToken, error) {
	near, err := peft.NearestTokens(ctx, b.model, prompt, top)
	if err != nil {
		return nil, err
	}
	all := make([][]nearToken, len(near))
	for i, list := range near {
		for _, n := range list {
			t := nearToken{ID: n.ID, Cosine: n.Cosine}
			if b.tokens != nil {
				t.Text = b.tokens.Decode([]int32{n.ID}, false)
			}
			all[i] = append(all[i], t)
		}
	}
	return all, nil
}

// inspectWith looks at an adapter in its model.
func (p *program) inspectWith(c *cli.Context, out *output, s *peft.State, prompt peft.Matrix, r *inspected) error {
	b, err := openBase(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	if len(prompt.Shape) > 0 {
		if r.Prompt, err = b.nearest(c.Context, prompt, c.Int("top")); err != nil {
			return err
		}
	}
	if c.String("html") == "" {
		return nil
	}
	m, err := s.Load(c.Context, b.model, peft.LoadOptions{PromptScale: peft.PromptScale(c.String("prompt-scale")), Warn: func(w string) { out.warn("%s: %s", r.Adapter, w) }})
	if err != nil {
		return fmt.Errorf("%s in model %s: %w", r.Adapter, b.name, err)
	}
	defer m.Close()
	of := newHeadReport(b, []string{r.Adapter})
	with := setOf(m)
	o, err := p.headInput(c, b, with, of)
	if err != nil {
		return err
	}
	if r.Tuning, err = b.compareTuned(c, with, of, o); err != nil {
		return err
	}
	return r.Tuning.writePage(c, b, with, []view.Section{r.partTable()})
}

// partTable lists the adapter's values by layer.
func (r *inspected) partTable() view.Table {
	t := view.Table{
		Title: "Values", Columns: []string{"part", "values", "norm", "change of weights"},
		About: fmt.Sprintf("%s, %s values, in the format %s.", describeState(r.Settings), thousands(r.Params), r.Format),
	}
	for _, part := range r.Parts {
		change := ""
		if part.Change > 0 {
			change = fmt.Sprintf("%.4g", part.Change)
		}
		t.Rows = append(t.Rows, []string{part.Name, thousands(part.Values), fmt.Sprintf("%.4g", part.Norm), change})
	}
	return t
}

func (r *inspected) print(w io.Writer) error {
	fmt.Fprintf(w, "method    %s\nformat    %s\n", describeState(r.Settings), r.Format)
	if r.Base != "" {
		fmt.Fprintf(w, "model     %s\n", r.Base)
	}
	fmt.Fprintf(w, "values    %s\n", thousands(r.Params))
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "warning   %s\n", warning)
	}
	var can, cannot []string
	for _, f := range formats.Writable() {
		if why := r.Writable[string(f)]; why == "" {
			can = append(can, string(f))
		} else {
			cannot = append(cannot, why)
		}
	}
	fmt.Fprintf(w, "converts  to %s\n", strings.Join(can, ", "))
	for _, why := range cannot {
		fmt.Fprintf(w, "          %s\n", why)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\npart\tvalues\tnorm\tchange of weights\t\n")
	for _, part := range r.Parts {
		change := ""
		if part.Change > 0 {
			change = fmt.Sprintf("%.4g", part.Change)
		}
		fmt.Fprintf(t, "%s\t%s\t%.4g\t%s\t\n", part.Name, thousands(part.Values), part.Norm, change)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printNearest(w, r.Prompt)
}

// printNearest shows the tokens near the vectors of a soft prompt, if there are any.
func printNearest(w io.Writer, near [][]nearToken) error {
	if len(near) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nvector\tnearest tokens (cosine)\n")
	for i, list := range near {
		var texts []string
		for _, n := range list {
			texts = append(texts, fmt.Sprintf("%q %.2f", n.Text, n.Cosine))
		}
		fmt.Fprintf(t, "%d\t%s\n", i, strings.Join(texts, "  "))
	}
	return t.Flush()
}

// describeState is describe, of a file: what it starts from isn't known.
func describeState(c peft.Config) string {
	if p, ok := c.(peft.PromptConfig); ok {
		return fmt.Sprintf("prompt of %s", count(p.Tokens, "virtual token"))
	}
	return describe(c)
}
