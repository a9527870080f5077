package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
	"github.com/gpupeft/gpupeft/transformer"
)

const patchDescription = `Says which activations carry the difference between two texts (activation patching): runs
the corrupted one with one activation after the other as it is in the clean one, and looks
at how far that brings the answer back: the logit of --target, less that of --foil, after
the text. 0 is the corrupted text's answer, 1 the clean one's.

--what names what is patched, several between commas: heads (the output of each head),
resid_pre, attn_out, mlp_out (by layer and token). --to does path patching instead: each
head's output is corrupted only on its way to the queries, keys or values of the heads
that --to names; 0 is the clean text's answer then, and 1 the corrupted one's.

Examples:
   gpupeft patch -p "When Mary and John went to the shop, John gave a drink to" --corrupted \
      "When Mary and John went to the shop, Mary gave a drink to" --target " Mary" --foil " John"
   gpupeft patch --model llama -p A --corrupted B --target x --what resid_pre --html patch.html
   gpupeft patch --model llama -p A --corrupted B --target x --to L9H1.q,L9H3.v`

func (p *program) patchCommand() *cli.Command {
	return &cli.Command{
		Name:        "patch",
		Usage:       "say which activations carry the difference between two texts",
		UsageText:   "gpupeft patch [options] -p TEXT --corrupted TEXT --target TOKEN",
		Description: patchDescription,
		Action:      p.patch,
		Flags: append(append(textFlags(), pairFlags()...),
			&cli.StringFlag{Name: "what", Category: groupScores, Value: "heads", Usage: "`LIST` of what to patch: heads, resid_pre, attn_out, mlp_out"},
			&cli.StringFlag{Name: "to", Category: groupScores, Usage: "path patching to a `LIST` of what heads read: L9H1.q,L9H3.v"},
			&cli.IntFlag{Name: "top", Category: groupOutput, Value: 5, Usage: "show the `N` activations that bring most back"},
			&cli.StringFlag{Name: "html", Category: groupOutput, Usage: "`FILE` for a page with all of them; it needs no network"},
			deviceFlag(), quantFlag(), jsonFlag("print one JSON object"), quietFlag()),
	}
}

// pairFlags say what a text is compared with.
func pairFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "corrupted", Category: groupInput, Usage: "`TEXT` of as many tokens, with another answer"},
		&cli.StringFlag{Name: "target", Category: groupInput, Usage: "`TOKEN`, as text or id, that is the answer"},
		&cli.StringFlag{Name: "foil", Category: groupInput, Usage: "`TOKEN` whose logit is subtracted from the target's"},
	}
}

// textPair is a clean and a corrupted text, with what their answer is.
type textPair struct {
	Clean     []int32 `json:"clean"`
	Corrupted []int32 `json:"corrupted"`
	Target    int32   `json:"target"`
	Foil      *int32  `json:"foil,omitempty"`
	metric    interp.Metric
}

// pair reads the flags.
func (p *program) pair(c *cli.Context, b *base, with *adapterSet) (*textPair, error) {
	for _, flag := range []string{"corrupted", "target"} {
		if c.String(flag) == "" {
			return nil, usagef("--%s is missing", flag)
		}
	}
	clean, err := p.sequences(c, b, nil)
	if err != nil {
		return nil, err
	}
	corrupted, err := b.corrupted(c.String("corrupted"), clean[0])
	if err != nil {
		return nil, err
	}
	target, foil, terms, err := b.answer(c, 1)
	if err != nil {
		return nil, err
	}
	t := &textPair{Clean: clean[0], Corrupted: corrupted, Target: *target, Foil: foil, metric: interp.Sum(terms...)}
	return t, b.fits(with, len(t.Clean))
}

// patchReport is the result of patch --json.
type patchReport struct {
	Model    string   `json:"model"`
	Adapters []string `json:"adapters,omitempty"`
	textPair
	To             []string         `json:"to,omitempty"`
	CleanValue     float64          `json:"clean_value"`
	CorruptedValue float64          `json:"corrupted_value"`
	Patches        []patchedOfAKind `json:"patches"`
	tokens         []string
	share          int
}

// patchedOfAKind holds what patches of one kind of activation make of the answer.
type patchedOfAKind struct {
	What string `json:"what"`
	// Values are the metric, by layer and head or token; Part is 0 where it is what it was
	// without a patch, and 1 where it is what it is in the other text.
	Values interp.Table `json:"values"`
	Part   interp.Table `json:"part"`
}

func (p *program) patch(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.Int("top") < 1 {
		return usagef("--top %d: want at least 1", c.Int("top"))
	}
	receivers, err := parseReceivers(c.String("to"))
	if err != nil {
		return err
	}
	kinds := strings.Split(c.String("what"), ",")
	for _, k := range kinds {
		if !slices.Contains(patchKinds, k) {
			return usagef("--what %q (known: %s)", k, strings.Join(patchKinds, ", "))
		}
	}
	out := p.output(c)
	b, with, err := openTuned(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	defer with.Close()
	pair, err := p.pair(c, b, with)
	if err != nil {
		return err
	}
	b.explain(out)
	r := &patchReport{
		Model: b.name, Adapters: c.StringSlice("adapter"), textPair: *pair, tokens: append(leading(with.virtual()), b.pieces(pair.Clean)...),
		share: b.model.Config.Heads / b.model.Config.KVHeads,
	}
	o := interp.Options{Adapters: with.adapters, Task: c.Int("task")}
	if err := r.run(c.Context, b, kinds, receivers, o); err != nil {
		return err
	}
	if err := writePage(c, r.page); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	r.print(c, out)
	return nil
}

// patchKinds are what --what knows.
var patchKinds = []string{"heads", "resid_pre", "attn_out", "mlp_out"}

// parseReceivers reads L9H1.q and the like.
func parseReceivers(list string) ([]interp.Receiver, error) {
	var all []interp.Receiver
	if list == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		r := interp.Receiver{}
		var input string
		n, err := fmt.Sscanf(strings.TrimSpace(word), "L%dH%d.%s", &r.Layer, &r.Head, &input)
		at, ok := map[string]transformer.Point{"q": transformer.Q, "k": transformer.K, "v": transformer.V}[input]
		if err != nil || n != 3 || !ok {
			return nil, usagef("--to %q: want heads with what they read, as in L9H1.q,L9H3.v", word)
		}
		r.Input = at
		all = append(all, r)
	}
	return all, nil
}

// run patches.
func (r *patchReport) run(ctx context.Context, b *base, kinds []string, receivers []interp.Receiver, o interp.Options) error {
	clean, corrupted := [][]int32{r.Clean}, [][]int32{r.Corrupted}
	for _, side := range []struct {
		ids   [][]int32
		value *float64
	}{{clean, &r.CleanValue}, {corrupted, &r.CorruptedValue}} {
		v, err := interp.Sweep(ctx, b.model, side.ids, r.metric, [][]interp.Edit{nil}, o)
		if err != nil {
			return err
		}
		*side.value = v[0]
	}
	if receivers != nil {
		for _, x := range receivers {
			r.To = append(r.To, interp.Node{Layer: x.Layer, Head: x.Head, Point: x.Input}.String())
		}
		t, err := interp.PathPatch(ctx, b.model, clean, corrupted, receivers, r.metric, o)
		r.add("paths to "+strings.Join(r.To, ", "), t, r.CleanValue, r.CorruptedValue)
		return err
	}
	points := map[string]transformer.Point{"resid_pre": transformer.ResidPre, "attn_out": transformer.AttnOut, "mlp_out": transformer.MLPOut}
	for _, kind := range kinds {
		var t interp.Table
		var err error
		if at, ok := points[kind]; ok {
			t, err = interp.PatchPositions(ctx, b.model, clean, corrupted, at, r.metric, o)
		} else {
			t, err = interp.PatchHeads(ctx, b.model, clean, corrupted, r.metric, o)
		}
		if err != nil {
			return err
		}
		r.add(kind, t, r.CorruptedValue, r.CleanValue)
	}
	return nil
}

// add keeps values and their parts of the way from one value to another.
func (r *patchReport) add(what string, values interp.Table, from, to float64) {
	part := make(interp.Table, len(values))
	for l, row := range values {
		part[l] = make([]float64, len(row))
		for i, v := range row {
			if from != to {
				part[l][i] = (v - from) / (to - from)
			}
		}
	}
	r.Patches = append(r.Patches, patchedOfAKind{what, values, part})
}

// byHead says whether a kind's columns are heads, not tokens.
func (p patchedOfAKind) byHead() bool { return p.What == "heads" || strings.HasPrefix(p.What, "paths") }

// matrix draws the parts.
func (r *patchReport) matrix(p patchedOfAKind) view.Matrix {
	m := view.Matrix{Title: p.What, RowName: "layer", ColumnName: "head", Values: drawn(p.Part)}
	if p.byHead() {
		m.Group = r.share
		return m
	}
	m.ColumnName = "token"
	for i, t := range r.tokens {
		m.Columns = append(m.Columns, fmt.Sprintf("%d %s", i, view.Label(t)))
	}
	return m
}

func (r *patchReport) headline(w io.Writer) {
	fmt.Fprintf(w, "clean      %.3f\ncorrupted  %.3f\n", r.CleanValue, r.CorruptedValue)
}

// print shows the largest parts and a map of all.
func (r *patchReport) print(c *cli.Context, out *output) {
	w := out.result
	r.headline(w)
	_, plain := os.LookupEnv("NO_COLOR")
	for _, p := range r.Patches {
		fmt.Fprintf(w, "\n%s, the part of the way\n", p.What)
		for _, x := range largest(p.Part, c.Int("top")) {
			fmt.Fprintf(w, "  %-24s %+.3f  (%.3f)\n", r.place(p, x), x.Score, p.Values[x.Layer][x.Head])
		}
		fmt.Fprintf(w, "\n%s", view.Terminal(r.matrix(p), view.TerminalOptions{Color: out.live && !plain}))
	}
	if name := c.String("html"); name != "" {
		fmt.Fprintf(w, "\nwrote %s\n", name)
	}
}

// place names what was patched.
func (r *patchReport) place(p patchedOfAKind, x interp.Ranked) string {
	if p.byHead() {
		return interp.HeadAt{Layer: x.Layer, Head: x.Head}.String()
	}
	return fmt.Sprintf("L%d at %d %s", x.Layer, x.Head, view.Label(r.tokens[x.Head]))
}

// page shows all parts.
func (r *patchReport) page() view.Page {
	p := view.Page{Title: "Patching: " + filepath.Base(r.Model), Facts: []view.Fact{
		{Name: "clean", Value: fmt.Sprintf("%.3f: the logit of the target%s", r.CleanValue, r.lessFoil())},
		{Name: "corrupted", Value: fmt.Sprintf("%.3f", r.CorruptedValue)},
		{Name: "text", Value: strings.Join(r.tokens, "")},
	}}
	if len(r.Adapters) > 0 {
		p.Facts = append(p.Facts, view.Fact{Name: "adapters", Value: strings.Join(r.Adapters, ", ")})
	}
	p.Facts = append(p.Facts, madeBy())
	about := "How much of the way from the corrupted text's answer to the clean one's each activation brings back."
	if r.To != nil {
		about = "How much of the way from the clean text's answer to the corrupted one's each head goes along these paths alone."
	}
	var maps []view.Matrix
	for _, x := range r.Patches {
		maps = append(maps, r.matrix(x))
	}
	p.Sections = []view.Section{view.Maps{Title: "Parts of the way", About: about, Maps: maps}}
	return p
}

func (r *patchReport) lessFoil() string {
	if r.Foil == nil {
		return ""
	}
	return " less the foil's"
}
