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

Example:
   gpupeft lens --model llama -p "The capital of France is"`

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
			&cli.IntFlag{Name: "top", Category: groupOutput, Value: 5, Usage: "`N` guesses for --json"},
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
}

// lensPlace is a hook, with guesses and divergence by token.
type lensPlace struct {
	Hook    string        `json:"hook"`
	Guesses [][]lensGuess `json:"guesses"`
	KL      []float64     `json:"kl"`
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
	lens, err := interp.LogitLens(c.Context, b.model, ids, c.Int("top"), interp.Options{Positions: positions, Adapters: with.adapters, Task: c.Int("task")})
	if err != nil {
		return err
	}
	r := lensReport{Model: b.name}
	for t := range length {
		if positions.Test(uint(t)) {
			id := int32(t - with.virtual()) // below 0: of a soft prompt
			if id >= 0 {
				id = ids[0][id]
			}
			r.Tokens = append(r.Tokens, lensToken{t, id, b.piece(id)})
		}
	}
	for _, l := range lens {
		place := lensPlace{Hook: l.Hook, KL: l.KL[0]}
		for _, guesses := range l.Top[0] {
			var list []lensGuess
			for _, g := range guesses {
				list = append(list, lensGuess{g.Token, b.piece(g.Token), math.Exp(g.LogProb)})
			}
			place.Guesses = append(place.Guesses, list)
		}
		r.Places = append(r.Places, place)
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	return r.print(out.result)
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
		fmt.Fprintf(table, "%s\t", strings.TrimPrefix(p.Hook, "blocks."))
		for _, guesses := range p.Guesses {
			fmt.Fprintf(table, "%s %.2f\t", cell(guesses[0].Text), guesses[0].Probability)
		}
		fmt.Fprintf(table, "%.2f\n", p.KL[len(p.KL)-1])
	}
	return table.Flush()
}
