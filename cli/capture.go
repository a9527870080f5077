package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/transformer"
)

const captureDescription = `Runs a text through a model and writes the activations of its hooks to a safetensors
file, under TransformerLens' names and in its shapes, with "logits" and "tokens". * in
a pattern stands for anything. --grad adds the gradients of the loss, as NAME_grad. What
has been computed is written at once, so that a file may be larger than the memory.

--compare says how far each tensor is from that of the same name in a file, which may
come from another model, another program, or from TransformerLens. Without --hooks, the
file's are compared, and without a text, its tokens are run.

Examples:
   gpupeft capture -p "The cat sat on the" --hooks '*.hook_resid_post' --out acts.safetensors
   gpupeft capture --model llama --token-ids 1,15043,29892 --hooks '*hook_pattern,*hook_z' \
      --grad --out acts.safetensors
   gpupeft capture --model llama-q4_0.gguf --compare acts.safetensors`

func (p *program) captureCommand() *cli.Command {
	return &cli.Command{
		Name:        "capture",
		Usage:       "write activations to a file, or compare them with one",
		UsageText:   "gpupeft capture [options] --hooks PATTERN[,PATTERN] --out FILE",
		Description: captureDescription,
		Action:      p.capture,
		Flags: append(textFlags(),
			&cli.StringSliceFlag{Name: "hooks", Category: groupInput, Usage: "`PATTERN` of names, several between commas; ? lists all names"},
			&cli.BoolFlag{Name: "grad", Category: groupInput, DisableDefaultText: true, Usage: "the gradients of the loss, too"},
			&cli.IntFlag{Name: "stop-at-layer", Category: groupInput, Usage: "compute the layers before `N` only, and no logits; -1: before the last"},
			&cli.StringFlag{Name: "positions", Category: groupInput, DefaultText: "all", Usage: "`LIST` of tokens to keep: 0,3-5"},
			&cli.StringFlag{Name: "out", Category: groupOutput, Usage: "`FILE`.safetensors to write"},
			&cli.StringFlag{Name: "compare", Category: groupOutput, Usage: "`FILE`.safetensors to compare with"},
			deviceFlag(), quantFlag(), jsonFlag("print one JSON object"), quietFlag()),
	}
}

// textFlags say what text to look at.
func textFlags() []cli.Flag {
	return append([]cli.Flag{modelFlag(), adaptersFlag(), promptScaleFlag()}, inputFlags()...)
}

// inputFlags are those of the text alone.
func inputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "task", Category: groupInput, Usage: "`N` of a prompt for several tasks"},
		&cli.StringFlag{Name: "prompt", Aliases: []string{"p"}, Category: groupInput, Usage: "`TEXT` to look at; - reads it from standard input"},
		&cli.StringFlag{Name: "prompt-file", Category: groupInput, Usage: "`FILE` with the text"},
		&cli.StringFlag{Name: "token-ids", Category: groupInput, Usage: "`IDS` in place of a text: 1,15043,29892"},
	}
}

// text reads the tokens that the flags of textFlags name; nil if they name none.
func (p *program) text(c *cli.Context, b *base) ([]int32, error) {
	var given []string
	for _, name := range []string{"prompt", "prompt-file", "token-ids"} {
		if c.IsSet(name) {
			given = append(given, "--"+name)
		}
	}
	switch {
	case len(given) > 1:
		return nil, usagef("%s: want one of them", strings.Join(given, " and "))
	case len(given) == 0:
		return nil, nil
	case c.IsSet("token-ids"):
		return idList(c.String("token-ids"), b.model.Config.VocabSize)
	}
	text, err := p.argument(c.String("prompt"))
	if c.IsSet("prompt-file") {
		var read []byte
		read, err = os.ReadFile(c.String("prompt-file"))
		text = strings.TrimSuffix(string(read), "\n")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", given[0], err)
	}
	tok, err := b.needTokens()
	if err != nil {
		return nil, err
	}
	ids, err := data.EncodePrompt(tok, text)
	if err == nil && len(ids) == 0 {
		err = errors.New("no tokens")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", given[0], err)
	}
	return ids, nil
}

// idList reads ids between commas.
func idList(list string, vocab int) ([]int32, error) {
	var ids []int32
	for word := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
		if err != nil || id < 0 || id >= int64(vocab) {
			return nil, usagef("--token-ids: %q is no id below %d", word, vocab)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// fits makes sure that so many tokens have positions.
func (b *base) fits(with *adapterSet, tokens int) error {
	if have := with.taken() + tokens; have > b.model.Config.MaxPositions {
		return fmt.Errorf("%s in a model with %s", count(have, "token"), count(b.model.Config.MaxPositions, "position"))
	}
	return nil
}

func (p *program) capture(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.String("out") == "" && c.String("compare") == "" && !slices.Contains(c.StringSlice("hooks"), "?") {
		return usagef("--out or --compare is missing: where to write the activations, or what to compare them with")
	}
	positions, err := interp.ParseSet(c.String("positions"))
	if err != nil {
		return usagef("--positions: %w", err)
	}
	var other *interp.Trace
	if name := c.String("compare"); name != "" {
		if other, err = readTrace(name); err != nil {
			return fmt.Errorf("--compare %s: %w", name, err)
		}
	}
	out := p.output(c)
	b, err := openBase(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	if slices.Contains(c.StringSlice("hooks"), "?") {
		_, err := fmt.Fprintln(out.result, strings.Join(interp.Hooks(b.model.Config), "\n"))
		return err
	}
	with, err := b.openAdapters(c, out)
	if err != nil {
		return err
	}
	defer with.Close()
	ids, err := p.sequences(c, b, other)
	if err != nil {
		return err
	}
	if err := b.fits(with, len(ids[0])); err != nil {
		return err
	}
	o := interp.Options{
		Hooks: c.StringSlice("hooks"), Positions: positions, StopAtLayer: c.Int("stop-at-layer"),
		Adapters: with.adapters, Task: c.Int("task"),
	}
	if len(o.Hooks) == 0 && other != nil {
		for _, name := range interp.Hooks(b.model.Config) {
			if _, ok := other.Activations[name]; ok {
				o.Hooks = append(o.Hooks, name)
			}
		}
	}
	if c.Bool("grad") || other != nil && len(other.Gradients) > 0 {
		o.Metric = interp.Loss(ids)
	}
	b.explain(out)
	trace, err := b.trace(c, ids, o)
	if err != nil {
		return err
	}
	return p.captured(c, b, out, trace, other)
}

// trace runs the text; with --out, into the file, and the trace has values only if they are
// to be compared.
func (b *base) trace(c *cli.Context, ids [][]int32, o interp.Options) (trace *interp.Trace, err error) {
	name := c.String("out")
	if name == "" {
		return interp.Capture(c.Context, b.model, ids, o)
	}
	var failed error
	err = disk.WriteFile(name, func(f *os.File) error {
		trace, failed = interp.CaptureTo(c.Context, b.model, ids, o, f, traceMetadata(c, b))
		return failed
	})
	switch {
	case failed != nil: // which is rather the run's than the file's
		return nil, failed
	case err != nil:
		return nil, fmt.Errorf("--out: %w", err)
	case c.String("compare") == "":
		return trace, nil
	}
	read, err := readTrace(name)
	if err != nil {
		return nil, err
	}
	trace.Activations, trace.Logits = read.Activations, read.Logits
	if trace.Gradients != nil {
		trace.Gradients = read.Gradients
	}
	return trace, nil
}

// sequences are the text's tokens, or those of the file to compare with.
func (p *program) sequences(c *cli.Context, b *base, other *interp.Trace) ([][]int32, error) {
	ids, err := p.text(c, b)
	switch {
	case err != nil:
		return nil, err
	case ids != nil:
		return [][]int32{ids}, nil
	case other == nil || len(other.Tokens) == 0:
		return nil, usagef("--prompt, --prompt-file or --token-ids is missing: what to run")
	}
	text := make([][]int32, len(other.Tokens)) // without the virtual tokens, which come with the adapter
	for i, seq := range other.Tokens {
		text[i] = slices.DeleteFunc(slices.Clone(seq), func(id int32) bool { return id < 0 })
	}
	return text, nil
}

// captured is the result of capture --json.
type captured struct {
	Model   string           `json:"model"`
	Tokens  [][]int32        `json:"tokens"`
	Hooks   map[string][]int `json:"hooks"` // shapes
	Loss    *float64         `json:"loss,omitempty"`
	Out     string           `json:"out,omitempty"`
	Bytes   int64            `json:"bytes,omitempty"`
	Compare []compared       `json:"compare,omitempty"`
}

// compared is the difference of a tensor.
type compared struct {
	Name     string  `json:"name"`
	Shape    []int   `json:"shape"`
	Largest  float64 `json:"largest"`
	Relative float64 `json:"relative"`
	Problem  string  `json:"problem,omitempty"`
}

// captured compares and reports.
func (p *program) captured(c *cli.Context, b *base, out *output, trace, other *interp.Trace) error {
	r := captured{Model: b.name, Tokens: trace.Tokens, Hooks: map[string][]int{}, Out: c.String("out")}
	for name, a := range trace.Activations {
		r.Hooks[name] = a.Shape
	}
	if trace.Gradients != nil {
		r.Loss = &trace.Value
	}
	if r.Out != "" {
		var err error
		if r.Bytes, err = sizeOf(r.Out); err != nil {
			return err
		}
	}
	if other != nil {
		for _, d := range interp.Compare(trace, other) {
			r.Compare = append(r.Compare, compared{d.Name, d.Shape, d.Largest, d.Relative, d.Problem})
		}
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	return r.print(out)
}

// traceMetadata says where activations come from.
func traceMetadata(c *cli.Context, b *base) map[string]string {
	meta := map[string]string{"model": b.name, "dtype": mainType(b.model), "tl_compatible": "3.5.1", "format": "pt"}
	if a := c.StringSlice("adapter"); len(a) > 0 {
		meta["adapter"] = strings.Join(a, ",")
	}
	return meta
}

// mainType is the type that most of a model's bytes are stored in.
func mainType(m *transformer.Model) string {
	return slices.MaxFunc(typesOf(m), func(a, b typeReport) int { return cmp.Compare(a.Bytes, b.Bytes) }).Type
}

func (r *captured) print(out *output) error {
	if r.Loss != nil {
		fmt.Fprintf(out.result, "loss %.4f\n", *r.Loss)
	}
	if len(r.Compare) > 0 {
		fmt.Fprintf(out.result, "%12s %12s  %s\n", "largest", "relative", "difference of")
	}
	for _, d := range r.Compare {
		if d.Problem != "" {
			fmt.Fprintf(out.result, "%25s  %s: %s\n", "", d.Name, d.Problem)
			continue
		}
		fmt.Fprintf(out.result, "%12.3g %12.3g  %s\n", d.Largest, d.Relative, d.Name)
	}
	if r.Out != "" {
		fmt.Fprintf(out.result, "wrote %s: %s, %s\n", r.Out, count(len(r.Hooks), "hook"), byteSize(r.Bytes))
	}
	return nil
}

// readTrace reads a file of activations.
func readTrace(name string) (*interp.Trace, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return interp.ReadTrace(f, info.Size())
}
