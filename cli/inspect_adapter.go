package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/formats"
)

const inspectAdapterDescription = `Says what an adapter in any format is: its method and settings, the model it was made
for, its values by layer, and which formats it can be converted to.

With --model, the vectors of a soft prompt are compared with the model's embeddings:
the tokens are those with the largest cosine.

Examples:
   gpupeft inspect-adapter adapter
   gpupeft inspect-adapter --model llama prompt`

func (p *program) inspectAdapterCommand() *cli.Command {
	return &cli.Command{
		Name:        "inspect-adapter",
		Usage:       "say what an adapter is and holds",
		UsageText:   "gpupeft inspect-adapter [options] DIR",
		Description: inspectAdapterDescription,
		Flags: []cli.Flag{
			modelFlag(),
			&cli.IntFlag{Name: "top", Value: 3, Category: groupOutput, Usage: "`N` nearest tokens of each vector"},
			deviceFlag(), jsonFlag("print one JSON object"), quietFlag(),
		},
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
	config, err := optionalConfig(c)
	if err != nil {
		return err
	}
	o := formats.Options{Model: config}
	s, f, err := readState(name, o)
	if err != nil {
		return needsModel(err, c)
	}
	r := inspected{Adapter: name, Format: f, Method: s.Config.Name(), Base: s.Base, Params: countValues(s), Settings: s.Config,
		Parts: s.Norms(), Warnings: s.Warnings, Writable: map[string]string{}}
	for _, to := range formats.Writable() {
		r.Writable[string(to)] = ""
		if err := formats.Check(s, to, o); err != nil {
			r.Writable[string(to)] = oneLine(err)
		}
	}
	out := p.output(c)
	if prompt, ok := s.Prompt(); ok && config != nil {
		if r.Prompt, err = p.nearest(c, out, prompt); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	return r.print(out.result)
}

// nearest compares the vectors of a soft prompt with the model's embeddings.
func (p *program) nearest(c *cli.Context, out *output, prompt peft.Matrix) ([][]nearToken, error) {
	b, err := openBase(c, out)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	near, err := peft.NearestTokens(c.Context, b.model, prompt, c.Int("top"))
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
	return r.printPrompt(w)
}

func (r *inspected) printPrompt(w io.Writer) error {
	if len(r.Prompt) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nvector\tnearest tokens (cosine)\n")
	for i, list := range r.Prompt {
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
