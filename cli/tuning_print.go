package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp/view"
)

// print shows the largest changes.
func (r *tuningReport) print(c *cli.Context, out *output) error {
	w := out.result
	r.of.headline(w)
	r.printScores(w)
	fmt.Fprintf(w, "\nlogits  %.3f, tuned %.3f: the %s\n", r.Base.Logit, r.Tuned.Logit, r.of.attributed())
	r.printDivergence(w)
	if r.Attention != nil {
		_, plain := os.LookupEnv("NO_COLOR")
		fmt.Fprintf(w, "\n%s", view.Terminal(r.promptMap(), view.TerminalOptions{Color: out.live && !plain}))
	}
	if err := printNearest(w, r.Nearest); err != nil {
		return err
	}
	r.printLens(w)
	r.printDirections(w)
	if name := c.String("html"); name != "" {
		fmt.Fprintf(w, "\nwrote %s\n", name)
	}
	return nil
}

// printScores shows the heads whose scores have changed most.
func (r *tuningReport) printScores(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nscore\thead\tbase\ttuned\tchange")
	for _, name := range r.changedScores() {
		label := name
		for _, x := range r.found.Changed(name, r.top) {
			fmt.Fprintf(t, "%s\t%s\t%.3f\t%.3f\t%+.3f\n", label, r.of.headName(x.Layer, x.Head), x.Baseline, x.Score, x.Score-x.Baseline)
			label = ""
		}
	}
	t.Flush()
}

// printDivergence shows how the two models come apart.
func (r *tuningReport) printDivergence(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nKL, nats\tmean\tlast token")
	for _, p := range r.Divergence {
		fmt.Fprintf(t, "%s\t%.3f\t%.3f\n", shortHook(p.Hook), p.mean(), p.last())
	}
	t.Flush()
}

// printLens shows what the stream says at the prompt, before the first layer and behind the
// last.
func (r *tuningReport) printLens(w io.Writer) {
	if r.Lens == nil {
		return
	}
	first, middle, last := r.Lens[0], r.Lens[len(r.Lens)/2], r.Lens[len(r.Lens)-1]
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nlens at the prompt\t%s\t%s\t%s\n", shortHook(first.Hook), shortHook(middle.Hook), shortHook(last.Hook))
	for i := range first.Guesses {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", i, bestGuess(first.Guesses[i]), bestGuess(middle.Guesses[i]), bestGuess(last.Guesses[i]))
	}
	t.Flush()
}

func bestGuess(list []lensGuess) string {
	return fmt.Sprintf("%s %.2f", view.Label(list[0].Text), list[0].Probability)
}

// printDirections shows the strongest.
func (r *tuningReport) printDirections(w io.Writer) {
	if len(r.Directions) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ndirection of\tsize\tshare\talong\tagainst")
	for _, d := range r.strongestDirections(10) {
		fmt.Fprintf(t, "%s\t%.3f\t%.2f\t%s\t%s\n", d.name(), d.Size, d.Share, guessList(d.Along), guessList(d.Against))
	}
	t.Flush()
}

// strongestDirections are the n of the largest singular values.
func (r *tuningReport) strongestDirections(n int) []changeDirection {
	all := slices.Clone(r.Directions)
	slices.SortStableFunc(all, func(a, b changeDirection) int { return cmp.Compare(b.Size, a.Size) })
	return all[:min(n, len(all))]
}

// name is as in "layer 3 q_proj 0, reads".
func (d changeDirection) name() string {
	what := "writes"
	if d.Reads {
		what = "reads"
	}
	parts := strings.Split(d.Module, ".") // model.layers.3.self_attn.q_proj
	return fmt.Sprintf("layer %s %s %d, %s", parts[2], parts[len(parts)-1], d.Index, what)
}

// guessList names tokens.
func guessList(list []lensGuess) string {
	var words []string
	for _, g := range list {
		words = append(words, view.Label(g.Text))
	}
	return strings.Join(words, " ")
}
