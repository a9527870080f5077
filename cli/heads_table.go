package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
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
	shade := shades(out)
	for _, name := range names {
		fmt.Fprintln(w)
		r.heatmap(w, name, shade)
	}
	r.compositions(w)
	for _, flag := range []string{"csv", "out"} {
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

// shades returns how to draw a share of the largest value, −1 to 1: in colours on a
// terminal, unless NO_COLOR is set, and else in characters.
func shades(out *output) func(share float64) string {
	if _, plain := os.LookupEnv("NO_COLOR"); out.live && !plain {
		return func(share float64) string {
			level := int(math.Round(23 * min(1, math.Abs(share))))
			if share < 0 {
				return fmt.Sprintf("\x1b[48;5;%dm  \x1b[0m", 16+level/5) // blues
			}
			return fmt.Sprintf("\x1b[48;5;%dm  \x1b[0m", 232+level) // black to white
		}
	}
	const up, down = " .:-=+*#%@", " ,;~!oO08B"
	return func(share float64) string {
		ramp := up
		if share < 0 {
			ramp = down
		}
		level := ramp[int(math.Round(9*min(1, math.Abs(share))))]
		return string([]byte{level, level})
	}
}

// heatmap draws a score of all heads, a row for each layer; a gap is between key heads.
func (r *headReport) heatmap(w io.Writer, name string, shade func(float64) string) {
	largest := 0.0
	for _, heads := range r.Scores[name] {
		for _, v := range heads {
			largest = max(largest, math.Abs(v))
		}
	}
	fmt.Fprintf(w, "%s, up to %.3g\n", name, largest)
	for l, heads := range r.Scores[name] {
		var line strings.Builder
		for h, v := range heads {
			if h > 0 && h%r.share == 0 && r.share > 1 {
				line.WriteByte(' ')
			}
			line.WriteString(shade(v / max(largest, 1e-12)))
		}
		fmt.Fprintf(w, "%4d |%s|\n", l, line.String())
	}
}

// compositions shows the strongest pairs.
func (r *headReport) compositions(w io.Writer) {
	if r.Composition == nil {
		return
	}
	fmt.Fprintf(w, "\ncomposition, above what random matrices have (%.3f)\n", r.Composition.Baseline)
	for _, kind := range []struct {
		name  string
		pairs [][][][]float64
	}{{"q", r.Composition.Q}, {"k", r.Composition.K}, {"v", r.Composition.V}} {
		type pair struct {
			from, to string
			score    float64
		}
		var all []pair
		for la, heads := range kind.pairs {
			for ha, later := range heads {
				for lb := la + 1; lb < len(later); lb++ {
					for hb, v := range later[lb] {
						all = append(all, pair{r.headName(la, ha), r.headName(lb, hb), v - r.Composition.Baseline})
					}
				}
			}
		}
		slices.SortStableFunc(all, func(a, b pair) int { return cmp.Compare(b.score, a.score) })
		for _, p := range all[:min(3, len(all))] {
			fmt.Fprintf(w, "  %s  %s → %s  %.3f\n", kind.name, p.from, p.to, p.score)
		}
	}
}
