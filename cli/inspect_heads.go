package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

const inspectHeadsDescription = `Says what each attention head does: how much it looks at the previous token, at itself,
at the first token, at an earlier copy of the token, and at what followed that copy
(induction); how wide it looks; how much its output raises the logit of the right token
(direct logit attribution), and of the token that it attends to (copying). The baseline is
what a head would have that looked at all tokens alike.

Without a text, the tokens are random and repeated, which shows induction at its clearest.

--diff compares the model without and with --adapter: the scores of all heads, the logits'
parts, how far the layers come apart (KL through the logit lens), the attention to a soft
prompt, what its vectors say, and the directions of a LoRA's change of weights.

Examples:
   gpupeft inspect-heads --html heads.html
   gpupeft inspect-heads --model llama-q4_0.gguf --random 50 --batch 10 --json > heads.json
   gpupeft inspect-heads --model llama --adapter adapter -p "When Mary and John went to the \
      shop, John gave a drink to" --target " Mary" --foil " John" --ablate
   gpupeft inspect-heads --model llama --adapter adapter --diff --html tuning.html`

func (p *program) inspectHeadsCommand() *cli.Command {
	return &cli.Command{
		Name:        "inspect-heads",
		Usage:       "say what each attention head does",
		UsageText:   "gpupeft inspect-heads [options]",
		Description: inspectHeadsDescription,
		Action:      p.inspectHeads,
		Flags: append(append(textFlags(), randomFlags()...),
			&cli.StringFlag{Name: "target", Category: groupInput, DefaultText: "each next token", Usage: "`TOKEN`, as text or id, whose logit after the text is attributed"},
			&cli.StringFlag{Name: "foil", Category: groupInput, Usage: "`TOKEN` whose logit is subtracted from the target's"},
			&cli.StringFlag{Name: "corrupted", Category: groupInput, Usage: "`TEXT` of as many tokens, with another answer: adds the attribution of the difference to heads"},
			&cli.BoolFlag{Name: "diff", Category: groupScores, DisableDefaultText: true, Usage: "what --adapter changes inside: all scores without and with it, and more"},
			&cli.BoolFlag{Name: "ablate", Category: groupScores, DisableDefaultText: true, Usage: "add what removing each head does: one run for each"},
			&cli.BoolFlag{Name: "weights", Category: groupScores, Value: true, Usage: "add the copying scores of the weights; --weights=false leaves them out"},
			&cli.BoolFlag{Name: "composition", Category: groupScores, DisableDefaultText: true, Usage: "add how much each head reads of each earlier one"},
			&cli.StringSliceFlag{Name: "score", Category: groupScores, DefaultText: "the most telling", Usage: "`NAME` of a score to show, several between commas"},
			&cli.StringFlag{Name: "layers", Category: groupScores, DefaultText: "all", Usage: "`LIST` of layers to show the best heads of: 0,3-5"},
			&cli.StringFlag{Name: "heads", Category: groupScores, DefaultText: "all", Usage: "`LIST` of heads, likewise"},
			&cli.IntFlag{Name: "top", Category: groupScores, Value: 3, Usage: "show the best `N` heads of each score"},
			&cli.Float64Flag{Name: "threshold", Category: groupScores, Value: 0.4, Usage: "call a head what its pattern's score is for from `X` on"},
			&cli.StringFlag{Name: "csv", Category: groupOutput, Usage: "`FILE` for a table with a row for each head"},
			&cli.StringFlag{Name: "out", Category: groupOutput, Usage: "`FILE`.safetensors for the scores as tensors"},
			&cli.StringFlag{Name: "html", Category: groupOutput, Usage: "`FILE` for a page with all scores and the attention of all heads; it needs no network"},
			&cli.StringFlag{Name: "png", Category: groupOutput, Usage: "`DIR` for a picture of each score that is shown, and of the best head's attention"},
			&cli.Float64Flag{Name: "png-scale", Category: groupOutput, Value: 2, Usage: "`N` pixels for each point of a picture, 0.5 to 8"},
			deviceFlag(), quantFlag(), jsonFlag("print one JSON object"), quietFlag()),
	}
}

const groupScores = "2. Scores"

// randomFlags say what to look at without a text.
func randomFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "random", Category: groupInput, Value: 50, Usage: "without a text: `N` random tokens, twice"},
		&cli.IntFlag{Name: "batch", Category: groupInput, Value: 10, Usage: "`N` random sequences"},
		&cli.Uint64Flag{Name: "seed", Category: groupInput, Usage: "the same `N` gives the same random tokens"},
	}
}

// checkRandom checks randomFlags.
func checkRandom(c *cli.Context) error {
	if c.Int("random") < 1 || c.Int("batch") < 1 {
		return usagef("--random %d --batch %d: want at least 1 of each", c.Int("random"), c.Int("batch"))
	}
	return nil
}

// headReport is the result of inspect-heads --json.
type headReport struct {
	Model       string                  `json:"model"`
	Type        string                  `json:"type"` // of most weights
	Params      int64                   `json:"params"`
	Device      tensor.Info             `json:"device"`
	Adapters    []string                `json:"adapters,omitempty"`
	Layers      int                     `json:"n_layers"`
	Heads       int                     `json:"n_heads"`
	KVHeads     int                     `json:"n_kv_heads"`
	Tokens      [][]int32               `json:"tokens"`
	Settings    headSettings            `json:"settings"`
	Scores      map[string]interp.Table `json:"scores"`
	Baseline    map[string][]float64    `json:"baseline"` // by layer
	MLPs        []float64               `json:"dla_mlp"`  // by layer
	Embed       float64                 `json:"dla_embed"`
	Positions   float64                 `json:"dla_positions,omitempty"` // learned ones
	Logit       float64                 `json:"dla_logit"`               // that heads, MLPs and embeddings sum to
	Composition *composition            `json:"composition,omitempty"`
	Warnings    []string                `json:"warnings,omitempty"`

	config   *transformer.Config
	seconds  float64
	text     bool
	share    int // query heads for each key head
	selected headSelection
	found    *interp.Heads
}

// headSettings say how the tokens came about.
type headSettings struct {
	Random    int     `json:"random,omitempty"` // tokens before they repeat
	Batch     int     `json:"batch"`
	Seed      uint64  `json:"seed,omitempty"`
	BOS       bool    `json:"bos"`
	Target    *int32  `json:"target,omitempty"`
	Foil      *int32  `json:"foil,omitempty"`
	Threshold float64 `json:"threshold"`
}

// composition holds scores of pairs: [layer][head][later layer][later head].
type composition struct {
	Q        [][][][]float64 `json:"q"`
	K        [][][][]float64 `json:"k"`
	V        [][][][]float64 `json:"v"`
	Baseline float64         `json:"baseline"`
}

func (p *program) inspectHeads(c *cli.Context) error {
	selected, err := selectedHeads(c)
	if err := errors.Join(noArguments(c), err, checkHeads(c)); err != nil {
		return err
	}
	out := p.output(c)
	b, with, err := openTuned(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	defer with.Close()
	r := newHeadReport(b, c.StringSlice("adapter"))
	r.selected = selected
	o, err := p.headInput(c, b, with, r)
	if err != nil {
		return err
	}
	b.explain(out)
	for _, w := range r.Warnings {
		out.warn("%s", w)
	}
	if c.Bool("diff") {
		return p.inspectTuning(c, out, b, with, r, o)
	}
	start := time.Now()
	if r.found, err = interp.InspectHeads(c.Context, b.model, r.Tokens, o); err != nil {
		return err
	}
	if err := r.prefixMatching(c, b, with); err != nil {
		return err
	}
	r.seconds = time.Since(start).Seconds()
	r.fill()
	if _, err := r.names(); err != nil {
		return err
	}
	if err := r.write(c, b, with); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	return r.print(c, out)
}

// newHeadReport describes the model.
func newHeadReport(b *base, adapters []string) *headReport {
	c := b.model.Config
	return &headReport{
		Model: b.name, Type: mainType(b.model), Params: b.model.Params(), Device: b.backend.Info(), Adapters: adapters,
		Layers: len(c.Layers), Heads: c.Heads, KVHeads: c.KVHeads, config: c, share: c.Heads / c.KVHeads,
	}
}

func checkHeads(c *cli.Context) error {
	switch {
	case c.Int("top") < 1:
		return usagef("--top %d: want at least 1", c.Int("top"))
	case c.String("foil") != "" && c.String("target") == "":
		return usagef("--foil without --target")
	case c.String("corrupted") != "" && c.String("target") == "":
		return usagef("--corrupted without --target, and --foil: the difference to attribute")
	case !c.Bool("diff"):
		return checkRandom(c)
	case len(c.StringSlice("adapter")) == 0:
		return usagef("--diff without --adapter: what to compare with the bare model")
	}
	for _, name := range []string{"composition", "score", "layers", "heads", "csv", "out", "png"} {
		if c.IsSet(name) {
			return usagef("--%s: not with --diff, which has --json and --html", name)
		}
	}
	return checkRandom(c)
}

// prefixMatching adds Olsson's score, which has random tokens of its own, if these fit.
func (r *headReport) prefixMatching(c *cli.Context, b *base, with *adapterSet) error {
	if r.text || b.fits(with, interp.PrefixMatchingTokens) != nil {
		return nil
	}
	o := interp.PatternOptions{Adapters: with.adapters, Task: c.Int("task")}
	s, err := interp.PrefixMatching(c.Context, b.model, r.Settings.Batch, b.bos(), b.special(), r.Settings.Seed, o)
	if err != nil {
		return err
	}
	maps.Copy(r.found.Scores, s.Scores)
	maps.Copy(r.found.Baseline, s.Baseline)
	return nil
}

// fill turns what was found into the report.
func (r *headReport) fill() {
	r.Scores, r.Baseline = r.found.Scores, r.found.Baseline
	direct := r.found.Direct
	r.MLPs, r.Embed, r.Positions, r.Logit = direct.MLPs, direct.Embed, direct.Positions, direct.Logit
	if c := r.found.Composition; c != nil {
		r.Composition = &composition{c.Q, c.K, c.V, c.Baseline}
	}
}

// headInput makes the tokens, and says what to do with them.
func (p *program) headInput(c *cli.Context, b *base, with *adapterSet, r *headReport) (interp.InspectOptions, error) {
	o := interp.InspectOptions{
		PatternOptions: interp.PatternOptions{Adapters: with.adapters, Task: c.Int("task")},
		Weights:        c.Bool("weights"), Composition: c.Bool("composition"), Ablate: c.Bool("ablate"),
	}
	r.Settings = headSettings{Batch: 1, Threshold: c.Float64("threshold")}
	ids, err := p.text(c, b)
	if err != nil {
		return o, err
	}
	bos := b.bos()
	if r.text = ids != nil; r.text {
		r.Tokens = [][]int32{ids}
		r.Settings.BOS = ids[0] == bos
	} else {
		r.Tokens = interp.RepeatedTokens(b.model.Config, c.Int("batch"), c.Int("random"), bos, b.special(), c.Uint64("seed"))
		o.Period, o.BOS = c.Int("random"), bos >= 0
		r.Settings.Random, r.Settings.Batch, r.Settings.Seed, r.Settings.BOS = o.Period, len(r.Tokens), c.Uint64("seed"), o.BOS
	}
	r.warn(b.model.Config, o.Period)
	if err := b.fits(with, len(r.Tokens[0])); err != nil {
		return o, err
	}
	if len(r.Tokens[0]) < 2 {
		return o, usagef("one token: there is nothing to look at")
	}
	return o, p.answers(c, b, r, &o)
}

// warn collects what makes scores mean less than it seems.
func (r *headReport) warn(c *transformer.Config, period int) {
	short := 0
	for _, l := range c.Layers {
		if l.Window > 0 && l.Window <= period {
			short++
		}
	}
	if short > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s a window of at most %d tokens, which doesn't reach back to the repeat: "+
			"their scores of repetition are 0 (--random with less)", count(short, "layer")+" have", period))
	}
	if !r.Settings.BOS {
		r.Warnings = append(r.Warnings, "the tokens begin without BOS: the first token's score means less")
	}
}

// bos is the token that begins a text, or −1.
func (b *base) bos() int32 {
	if b.tokens != nil {
		if id, ok := b.tokens.BOS(); ok {
			return id
		}
	}
	if ids := b.model.Config.BOS; len(ids) > 0 {
		return ids[0]
	}
	return -1
}

// special are the tokens that random text is without.
func (b *base) special() []int32 {
	ids := slices.Concat(b.model.Config.BOS, b.model.Config.EOS)
	if b.tokens == nil {
		return ids
	}
	for id := range int32(b.model.Config.VocabSize) {
		if b.tokens.IsSpecial(id) || b.tokens.Piece(id) == "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// answers reads --target, --foil and --corrupted.
func (p *program) answers(c *cli.Context, b *base, r *headReport, o *interp.InspectOptions) error {
	if c.String("target") == "" {
		return nil
	}
	var err error
	if r.Settings.Target, r.Settings.Foil, o.Terms, err = b.answer(c, len(r.Tokens)); err != nil {
		return err
	}
	o.Metric = interp.Sum(o.Terms...)
	if text := c.String("corrupted"); text != "" {
		if len(r.Tokens) != 1 {
			return usagef("--corrupted: needs a text to compare with")
		}
		ids, err := b.corrupted(text, r.Tokens[0])
		if err != nil {
			return err
		}
		o.Corrupted = [][]int32{ids}
	}
	return nil
}

// answer reads --target, and --foil if there is one: the logit of the one after a text, less that
// of the other, the mean over sequences.
func (b *base) answer(c *cli.Context, sequences int) (target, foil *int32, terms []interp.Term, err error) {
	for _, a := range []struct {
		flag   string
		weight float64
		to     **int32
	}{{"target", 1, &target}, {"foil", -1, &foil}} {
		if c.String(a.flag) == "" {
			continue
		}
		id, err := b.token(a.flag, c.String(a.flag))
		if err != nil {
			return nil, nil, nil, err
		}
		*a.to = &id
		for s := range sequences {
			terms = append(terms, interp.Term{Sequence: s, Position: -1, Token: id, Weight: a.weight / float64(sequences)})
		}
	}
	return target, foil, terms, nil
}

// corrupted reads --corrupted, which has as many tokens as the clean text.
func (b *base) corrupted(text string, clean []int32) ([]int32, error) {
	tok, err := b.needTokens()
	if err != nil {
		return nil, err
	}
	ids, err := data.EncodePrompt(tok, text)
	if err != nil {
		return nil, fmt.Errorf("--corrupted: %w", err)
	}
	if len(ids) != len(clean) {
		return nil, usagef("--corrupted: %s, and the text has %d", count(len(ids), "token"), len(clean))
	}
	return ids, nil
}

// token reads a flag's token: a text that is one token, or an id.
func (b *base) token(flag, value string) (int32, error) {
	if b.tokens != nil {
		ids, err := b.tokens.Encode(value, false)
		if err != nil {
			return 0, fmt.Errorf("--%s: %w", flag, err)
		}
		if len(ids) == 1 {
			return ids[0], nil
		}
	}
	id, err := strconv.ParseInt(value, 10, 32)
	if err != nil || id < 0 || int(id) >= b.model.Config.VocabSize {
		return 0, usagef("--%s %q: neither one token of the model nor an id", flag, value)
	}
	return int32(id), nil
}

// headName is as in L5H1, with the key head where heads share one.
func (r *headReport) headName(layer, head int) string {
	name := interp.HeadAt{Layer: layer, Head: head}.String()
	if r.share > 1 {
		name += fmt.Sprintf("(kv%d)", head/r.share)
	}
	return name
}

// input is what was looked at.
func (r *headReport) input() string {
	if r.text {
		return "a text of " + count(len(r.Tokens[0]), "token")
	}
	return fmt.Sprintf("%d random tokens, twice, in %s", r.Settings.Random, count(r.Settings.Batch, "sequence"))
}

// headline says what was looked at.
func (r *headReport) headline(w io.Writer) {
	what := r.input()
	if len(r.Adapters) > 0 {
		what += ", with " + strings.Join(r.Adapters, ", ")
	}
	if r.seconds > 0 {
		what += fmt.Sprintf("; %.1f s", r.seconds)
	}
	fmt.Fprintf(w, "model   %s, %s parameters, %s; %s of %s (%d for keys), on %s\ninput   %s\n", r.Model, thousands(r.Params), r.Type,
		count(r.Layers, "layer"), count(r.Heads, "head"), r.KVHeads, r.Device.Kind, what)
}
