package cli

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
)

// maxCompositions is how many heads a model may have for maps of all their pairs.
const maxCompositions = 300

// composed are the scores of pairs by queries, keys or values.
type composed struct {
	name  string
	pairs [][][][]float64
}

func (c *composition) kinds() []composed { return []composed{{"q", c.Q}, {"k", c.K}, {"v", c.V}} }

// headPair is an earlier and a later head.
type headPair struct {
	from, to string
	score    float64 // above what random matrices have
}

// strongest are the n pairs with the highest scores.
func (r *headReport) strongest(kind composed, n int) []headPair {
	var all []headPair
	for la, heads := range kind.pairs {
		for ha, later := range heads {
			for lb := la + 1; lb < len(later); lb++ {
				for hb, v := range later[lb] {
					all = append(all, headPair{r.headName(la, ha), r.headName(lb, hb), v - r.Composition.Baseline})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b headPair) int { return cmp.Compare(b.score, a.score) })
	return all[:min(n, len(all))]
}

// printCompositions shows the strongest pairs.
func (r *headReport) printCompositions(w io.Writer) {
	if r.Composition == nil {
		return
	}
	fmt.Fprintf(w, "\ncomposition, above what random matrices have (%.3f)\n", r.Composition.Baseline)
	for _, kind := range r.Composition.kinds() {
		for _, p := range r.strongest(kind, 3) {
			fmt.Fprintf(w, "  %s  %s → %s  %.3f\n", kind.name, p.from, p.to, p.score)
		}
	}
}

// drawCompositions adds the pairs of heads, if they were asked for.
func (r *headReport) drawCompositions(p *view.Page) {
	if r.Composition == nil {
		return
	}
	table := view.Table{
		Title: "Composition", Columns: []string{"by", "from", "to", "above random"},
		About: fmt.Sprintf("The pairs of heads whose later one reads most of what the earlier one has written, with its queries, keys or values; "+
			"random matrices have %.3f.", r.Composition.Baseline),
	}
	maps := view.Maps{Title: "Composition of all pairs", Same: true}
	for _, kind := range r.Composition.kinds() {
		for _, pair := range r.strongest(kind, 30) {
			table.Rows = append(table.Rows, []string{kind.name, pair.from, pair.to, fmt.Sprintf("%.3f", pair.score)})
		}
		maps.Maps = append(maps.Maps, r.pairMap(kind))
	}
	p.Sections = append(p.Sections, table)
	if n := r.Layers * r.Heads; n > maxCompositions {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The map of all pairs of %s is left out, the table is not: --json and --out have them all.", count(n, "head")))
		return
	}
	p.Sections = append(p.Sections, maps)
}

// pairMap is a heat map of earlier × later heads.
func (r *headReport) pairMap(kind composed) view.Matrix {
	m := view.Matrix{Title: kind.name, RowName: "earlier head", ColumnName: "later head", Group: r.Heads, Baseline: r.Composition.Baseline}
	for l := range r.Layers {
		for h := range r.Heads {
			m.Rows = append(m.Rows, interp.HeadAt{Layer: l, Head: h}.String())
			var row []float32
			for later, heads := range kind.pairs[l][h] {
				for _, v := range heads {
					if later <= l {
						v = math.NaN()
					}
					row = append(row, float32(v))
				}
			}
			m.Values = append(m.Values, row)
		}
	}
	m.Columns = m.Rows
	return m
}
