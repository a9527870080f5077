package cli

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
)

const lensDescription = `Reads the stream before every layer as if it were the last: what would come next, if the
layers above did nothing (logit lens)? Under each token of the text stand the best guesses
for the token after it, layer by layer, with their probabilities; KL is how far the last
token's guesses are from the final ones, in nats.

--fit FILE makes a tuned lens of a text, best of some thousand tokens: it says what the stream
at each layer is likely to be at the end, and is less blind below. --tuned FILE reads with it.

Examples:
   gpupeft lens --model llama -p "The capital of France is"
   gpupeft lens --model llama --prompt-file book.txt --fit lens.safetensors
   gpupeft lens --model llama -p "The capital of France is" --tuned lens.safetensors
   gpupeft lens --model llama -p "The capital of France is" --positions 0-5 --html lens.html`

// lensTokens is how many tokens lens shows without --positions.
const lensTokens = 6

func (p *program) lensCommand() *cli.Command {
	return &cli.Command{
		Name:        "lens",
		Usage:       "say what each layer would predict",
		UsageText:   "gpupeft lens [options] -p TEXT",
		Description: lensDescription,
		Action:      p.lens,
		Flags: append(textFlags(),
			&cli.StringFlag{Name: "positions", Category: groupInput, DefaultText: "the last 6", Usage: "`LIST` of tokens to show: 0,3-5"},
			&cli.IntFlag{Name: "top", Category: groupOutput, Value: 5, Usage: "`N` guesses for --json and --html"},
			&cli.StringFlag{Name: "tuned", Category: groupInput, Usage: "`FILE` of a tuned lens, to read with it"},
			&cli.StringFlag{Name: "fit", Category: groupOutput, Usage: "`FILE`.safetensors to write a tuned lens to, made of the text"},
			&cli.StringFlag{Name: "html", Category: groupOutput, Usage: "`FILE` for a page with the guesses; it needs no network"},
			deviceFlag(), quantFlag(), jsonFlag("print one JSON object"), quietFlag()),
	}
}

// lensReport is the result of lens --json.
type lensReport struct {
	Model  string      `json:"model"`
	Tokens []lensToken `json:"tokens"` // those that are shown
	Places []lensPlace `json:"places"`
}

type lensToken struct {
	Position int    `json:"position"`
	ID       int32  `json:"id"` // negative: of a soft prompt
	Text     string `json:"text"`
	// Next is what comes next in the text, unless nothing does.
	Next *string `json:"next,omitempty"`
}

// lensPlace is a hook, with guesses, divergence, and the probability of what comes next, by
// token.
type lensPlace struct {
	Hook    string        `json:"hook"`
	Guesses [][]lensGuess `json:"guesses"`
	KL      []float64     `json:"kl"`
	Next    []*float64    `json:"next"`
}

type lensGuess struct {
	ID          int32   `json:"id"`
	Text        string  `json:"text"`
	Probability float64 `json:"probability"`
}

func (p *program) lens(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.Int("top") < 1 {
		return usagef("--top %d: want at least 1", c.Int("top"))
	}
	if c.String("fit") != "" && c.String("tuned") != "" {
		return usagef("--fit with --tuned: want one of them")
	}
	positions, err := interp.ParseSet(c.String("positions"))
	if err != nil {
		return usagef("--positions: %w", err)
	}
	out := p.output(c)
	b, with, err := openTuned(c, out)
	if err != nil {
		return err
	}
	defer b.Close()
	defer with.Close()
	ids, err := p.sequences(c, b, nil)
	if err != nil {
		return err
	}
	if c.String("fit") != "" {
		return p.fitLens(c, out, b, with, ids[0])
	}
	if err := b.fits(with, len(ids[0])); err != nil {
		return err
	}
	length := with.virtual() + len(ids[0])
	if positions == nil {
		positions = interp.Of()
		for t := max(0, length-lensTokens); t < length; t++ {
			positions.Set(uint(t))
		}
	}
	b.explain(out)
	o := interp.Options{Positions: positions, Adapters: with.adapters, Task: c.Int("task")}
	lens, err := b.readLens(c, ids, o)
	if err != nil {
		return err
	}
	r := lensReport{Model: b.name, Tokens: b.lensTokens(ids[0], with.virtual(), positions.Test)}
	for _, l := range lens {
		r.Places = append(r.Places, b.lensPlace(l))
	}
	if err := writePage(c, r.page); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	if err := r.print(out.result); err != nil {
		return err
	}
	if name := c.String("html"); name != "" {
		fmt.Fprintf(out.result, "wrote %s\n", name)
	}
	return nil
}

// lensTokens are the tokens at some positions, behind those of a soft prompt.
func (b *base) lensTokens(ids []int32, virtual int, keep func(position uint) bool) []lensToken {
	var list []lensToken
	for t := range virtual + len(ids) {
		if !keep(uint(t)) {
			continue
		}
		token := lensToken{Position: t, ID: int32(t - virtual)}
		if t >= virtual {
			token.ID = ids[t-virtual]
		}
		token.Text = b.piece(token.ID)
		if next := t + 1 - virtual; next >= 0 && next < len(ids) {
			text := b.piece(ids[next])
			token.Next = &text
		}
		list = append(list, token)
	}
	return list
}

// lensPlace names the guesses of the first sequence.
func (b *base) lensPlace(l interp.Lens) lensPlace {
	place := lensPlace{Hook: l.Hook, KL: l.KL[0]}
	for _, guesses := range l.Top[0] {
		place.Guesses = append(place.Guesses, b.guesses(guesses))
	}
	for _, log := range l.Next[0] {
		place.Next = append(place.Next, number(math.Exp(log)))
	}
	return place
}

// guesses gives tokens their texts.
func (b *base) guesses(list []interp.Guess) []lensGuess {
	var all []lensGuess
	for _, g := range list {
		all = append(all, lensGuess{g.Token, b.piece(g.Token), math.Exp(g.LogProb)})
	}
	return all
}

// piece is what a token stands for in a text.
func (b *base) piece(id int32) string {
	switch {
	case id < 0:
		return "(prompt)"
	case b.tokens == nil:
		return strconv.Itoa(int(id))
	}
	return b.tokens.Decode([]int32{id}, false)
}

// print shows a row for each place, a column for each token.
func (r *lensReport) print(w io.Writer) error {
	cell := func(text string) string { return strings.Trim(strconv.Quote(quoted(text, 12)), `"`) }
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "after\t")
	for _, t := range r.Tokens {
		fmt.Fprintf(table, "%s\t", cell(t.Text))
	}
	fmt.Fprintln(table, "KL")
	for _, p := range r.Places {
		fmt.Fprintf(table, "%s\t", shortHook(p.Hook))
		for _, guesses := range p.Guesses {
			fmt.Fprintf(table, "%s %.2f\t", cell(guesses[0].Text), guesses[0].Probability)
		}
		fmt.Fprintf(table, "%.2f\n", p.KL[len(p.KL)-1])
	}
	return table.Flush()
}
