package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
)

// shownScores are what inspect-heads shows without --score, and what a head is called whose
// pattern reaches the threshold.
var shownScores = []struct{ name, note string }{
	{interp.Previous, "previous-token head"},
	{interp.Current, "looks at itself"},
	{interp.BOS, "rests on the first token"},
	{interp.Duplicate, "duplicate-token head"},
	{interp.Induction, "induction head"},
	{interp.InductionText, "induction head"},
	{interp.Prompt, "reads the prompt"},
	{interp.CopyingScore, ""},
	{interp.DirectScore, ""},
	{interp.AblationScore, ""},
	{interp.AttributionScore, ""},
}

// headSelection is what to show.
type headSelection struct {
	scores []string
	top    func(h *interp.Heads, name string) []interp.Ranked
}

func selectedHeads(c *cli.Context) (headSelection, error) {
	layers, err := interp.ParseSet(c.String("layers"))
	if err != nil {
		return headSelection{}, usagef("--layers: %w", err)
	}
	heads, err := interp.ParseSet(c.String("heads"))
	if err != nil {
		return headSelection{}, usagef("--heads: %w", err)
	}
	return headSelection{c.StringSlice("score"), func(h *interp.Heads, name string) []interp.Ranked {
		return h.Top(name, c.Int("top"), layers, heads)
	}}, nil
}

// names are the scores to show that there are.
func (r *headReport) names() ([]string, error) {
	if len(r.selected.scores) > 0 {
		for _, name := range r.selected.scores {
			if r.Scores[name] == nil {
				return nil, usagef("--score %s: not among %s", name, strings.Join(slices.Sorted(maps.Keys(r.Scores)), ", "))
			}
		}
		return r.selected.scores, nil
	}
	var names []string
	for _, s := range shownScores {
		if r.Scores[s.name] != nil && !(s.name == interp.InductionText && r.Scores[interp.Induction] != nil) {
			names = append(names, s.name)
		}
	}
	return names, nil
}

// print shows the best heads of each score, and a map of all.
func (r *headReport) print(c *cli.Context, out *output) error {
	names, err := r.names()
	if err != nil {
		return err
	}
	w := out.result
	r.headline(w)
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "score\thead\tvalue\tbaseline\tDLA\tentropy\t")
	for _, name := range names {
		for i, top := range r.selected.top(r.found, name) {
			r.row(table, name, i == 0, top)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	r.heatmaps(out, names)
	r.printCompositions(w)
	for _, flag := range []string{"csv", "out", "html", "png"} {
		if name := c.String(flag); name != "" {
			fmt.Fprintf(w, "wrote %s\n", name)
		}
	}
	return nil
}

// row is one head's.
func (r *headReport) row(w io.Writer, name string, first bool, top interp.Ranked) {
	label, baseline, note := "", "", ""
	if first {
		label = name
	}
	if r.Baseline[name] != nil {
		baseline = fmt.Sprintf("%.3f", top.Baseline)
	}
	for _, s := range shownScores {
		if s.name == name && top.Score >= r.Settings.Threshold {
			note = s.note
		}
	}
	fmt.Fprintf(w, "%s\t%s\t%.3f\t%s\t%+.3f\t%.2f\t%s\n", label, r.headName(top.Layer, top.Head), top.Score, baseline,
		r.Scores[interp.DirectScore][top.Layer][top.Head], r.Scores[interp.Entropy][top.Layer][top.Head], note)
}

// heatmaps draws scores of all heads, a row for each layer, in colours on a terminal unless
// NO_COLOR is set.
func (r *headReport) heatmaps(out *output, names []string) {
	_, plain := os.LookupEnv("NO_COLOR")
	for _, name := range names {
		fmt.Fprintf(out.result, "\n%s", view.Terminal(r.drawnScore(name).Matrix(r.share), view.TerminalOptions{Color: out.live && !plain}))
	}
}
