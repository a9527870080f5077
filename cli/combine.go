package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/internal/disk"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/peft/formats"
)

const combineDescription = `Makes one LoRA of several for the same model, as PEFT's add_weighted_adapter does. Each
counts as often as the number behind its name says (DIR:0.5), once without one.

   cat              their sum, exactly; the ranks add up
   svd              their sum, approximated in the rank of --rank
   linear           sums of the matrices in place of their products: small, and rough
   magnitude_prune  linear, of the largest values
   ties             linear, of the largest values with the sign of the majority
   dare_linear      linear, of values that are drawn at random
   dare_ties        both

The last four can be done to the products too (ties_svd), which takes longer.
--density is the share of values that they keep.

Examples:
   gpupeft combine --adapter german --adapter polite:0.5 --how cat --out both
   gpupeft combine --adapter a --adapter b --how ties --density 0.2 --out both`

func (p *program) combineCommand() *cli.Command {
	return &cli.Command{
		Name:        "combine",
		Usage:       "make one LoRA of several",
		UsageText:   "gpupeft combine --adapter DIR[:WEIGHT] --adapter DIR[:WEIGHT] [options] --out DIR",
		Description: combineDescription,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "adapter", Category: groupInput, Usage: "`DIR` of a LoRA in any format, or DIR:WEIGHT; given several times"},
			modelFlag(),
			&cli.StringFlag{Name: "how", Value: "cat", Category: groupMethod, Usage: "`WAY` to combine: " + strings.Join(peft.Combinations(), ", ")},
			&cli.IntFlag{Name: "rank", Category: groupMethod, DefaultText: "the largest of all", Usage: "svd: rank `R` of the result"},
			&cli.Float64Flag{Name: "density", Value: 0.5, Category: groupMethod, Usage: "magnitude_prune, ties, dare: `SHARE` of the values that is kept"},
			&cli.StringFlag{Name: "majority", Value: "total", Category: groupMethod, Usage: "ties: the majority by `WHAT`, total of the values or frequency of the signs"},
			&cli.Uint64Flag{Name: "seed", Value: 42, Category: groupMethod, Usage: "dare: `N` that the draws follow"},
			&cli.StringFlag{Name: "out", Category: groupOutput, Usage: "`DIR` for the result, in PEFT's format"},
			jsonFlag("print one JSON object"), quietFlag(),
		},
		Action: p.combine,
	}
}

// combined is the result of combine --json.
type combined struct {
	Adapters []string  `json:"adapters"`
	Weights  []float64 `json:"weights"`
	How      string    `json:"how"`
	Out      string    `json:"out"`
	Rank     int       `json:"rank"`
	Params   int       `json:"params"`
}

func (p *program) combine(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	how := peft.Combination{
		How: c.String("how"), Rank: c.Int("rank"), Density: c.Float64("density"), Seed: c.Uint64("seed"),
		Frequency: c.String("majority") == "frequency",
	}
	switch {
	case len(c.StringSlice("adapter")) == 0 || c.String("out") == "":
		return usagef("--adapter and --out are needed")
	case !how.Frequency && c.String("majority") != "total":
		return usagef("--majority %s (known: total, frequency)", c.String("majority"))
	}
	dst, err := newOut(c)
	if err != nil {
		return err
	}
	r := combined{How: how.How, Out: dst}
	loras, err := p.readLoRAs(c, &r)
	if err != nil {
		return err
	}
	how.Weights = r.Weights
	s, err := peft.Combine(c.Context, loras, how)
	switch {
	case errors.Is(err, peft.ErrConfig):
		return usagef("%w", err)
	case err != nil:
		return fmt.Errorf("%s: %w", strings.Join(r.Adapters, ", "), err)
	}
	if err := checkWritable(dst); err != nil {
		return err
	}
	if err := disk.Make(dst, false, s.Write); err != nil {
		return err
	}
	r.Rank, r.Params = s.Config.(peft.LoRAConfig).Rank, countValues(s)
	if c.Bool("json") {
		return writeJSON(p.out, r)
	}
	_, err = fmt.Fprintf(p.out, "%s combined by %s: rank %d, %s values, in %s\n", count(len(loras), "LoRA"), r.How, r.Rank, thousands(r.Params), dst)
	return err
}

// readLoRAs reads what --adapter names.
func (p *program) readLoRAs(c *cli.Context, r *combined) ([]*peft.State, error) {
	config, err := optionalConfig(c)
	if err != nil {
		return nil, err
	}
	out := p.output(c)
	var loras []*peft.State
	for _, value := range c.StringSlice("adapter") {
		name, weight, err := splitFactor(value)
		if err != nil {
			return nil, err
		}
		s, _, err := readState(name, formats.Options{Model: config})
		if err != nil {
			return nil, needsModel(err, c)
		}
		for _, w := range s.Warnings {
			out.warn("--adapter %s: %s", name, w)
		}
		loras = append(loras, s)
		r.Adapters, r.Weights = append(r.Adapters, name), append(r.Weights, weight)
	}
	return loras, nil
}
