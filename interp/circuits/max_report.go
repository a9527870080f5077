package circuits

import (
	"fmt"
	"math"
	"strings"

	"github.com/gpupeft/gpupeft/interp/view"
)

// expected says whether the example has the sizes that its numbers are known for.
func (m Max) expected() bool {
	return m.Numbers == 4 && m.Vocab == 64 && m.Width == 32 && m.Steps >= 3000 && m.Batch >= 128
}

// Numbers implements Report.
func (r *MaxReport) Numbers() []Number {
	k := r.Example.Numbers
	all := []Number{
		Number{Name: "accuracy", About: fmt.Sprintf("how often the largest of %d numbers is said, on %d fresh lists", k, r.Example.Tests), Value: r.Accuracy}.atLeast(0.995),
		Number{Name: "without the head", About: "the same, with the head's output set to zero", Value: r.Ablated}.atMost(0.2),
		{Name: "attention", About: "of the last place, to all places of the largest number", Value: r.AttentionOnMax},
		{Name: "top attention", About: "how often most of the attention goes to one of those", Value: r.TopIsMax},
		Number{Name: "QK first / second", About: "singular values of the QK circuit: how nearly it is one column times one row", Value: r.Rank1}.atLeast(100),
		Number{Name: "QK slope", About: "by how much the score grows from one number to the next", Value: r.Slope}.atLeast(0.9),
		Number{Name: "QK order", About: "rank correlation of score and number, the lowest over query tokens: 1 where it always grows", Value: r.LeastOrder}.atLeast(0.99),
		Number{Name: "OV copying", About: "Σ Re λ / Σ |λ| over the eigenvalues of the OV circuit", Value: r.Copying}.atLeast(0.99),
		{Name: "OV diagonal", About: "share of numbers whose own logit the OV circuit raises most", Value: r.Diagonal},
		{Name: "QK range", About: "how far scores of one query are apart", Value: r.QKRange},
		{Name: "position range", About: "the same for what the key's position adds", Value: r.PositionRange},
		{Name: "OV range", About: "how far logits are apart for one number attended to", Value: r.OVRange},
		{Name: "direct range", About: "how far logits past the head are apart", Value: r.DirectRange},
		{Name: "loss", About: "cross-entropy on the same lists", Value: r.Loss},
	}
	if !r.Example.expected() {
		for i := range all {
			all[i].Least, all[i].Most = 0, 0
		}
	}
	return all
}

// Maps implements Report.
func (r *MaxReport) Maps() []view.Matrix {
	return []view.Matrix{
		{Title: "QK", RowName: "query", ColumnName: "key", Values: r.QK},
		{Title: "OV", RowName: "attended", ColumnName: "logit", Values: r.OV},
		{Title: "QK position", RowName: "query", ColumnName: "place", Values: r.Position},
		{Title: "Direct", RowName: "query", ColumnName: "logit", Values: r.Direct},
	}
}

// Remarks implements Report.
func (r *MaxReport) Remarks() []string {
	var all []string
	if n := len(r.Untrained); n > 0 {
		largest := r.Untrained[n-1]
		all = append(all, fmt.Sprintf("The OV circuit doesn't copy %s: small numbers are hardly ever the largest, so their rows were hardly trained. A list of %d numbers of at most %d comes up once in %.0f.",
			strings.Join(ids(r.Untrained), ", "), r.Example.Numbers, largest,
			math.Pow(float64(r.Example.Vocab)/float64(largest+1), float64(r.Example.Numbers))))
	}
	worst := Gap{Accuracy: 1}
	for _, g := range r.Gaps {
		if g.Accuracy < worst.Accuracy {
			worst = g
		}
	}
	if worst.Accuracy < 1 {
		all = append(all, fmt.Sprintf("Errors are where two numbers are close: where the second largest is %d below the largest, %s are right. Attention is a softmax, and a score that is higher by %.2f still leaves the second a part.",
			worst.Gap, percent(worst.Accuracy), r.Slope))
	}
	return all
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// Page implements Report.
func (r *MaxReport) Page(losses []float64) view.Page {
	e := r.Example
	p := view.Page{Title: fmt.Sprintf("The largest of %d numbers", e.Numbers), Warnings: r.Remarks(), Facts: []view.Fact{
		{Name: "model", Value: fmt.Sprintf("one layer, one attention head, width %d, numbers 0 to %d; no MLP, no norms, no biases, learned positions", e.Width, e.Vocab-1)},
		{Name: "training", Value: fmt.Sprintf("%d steps of %d lists, AdamW, learning rate 0.001 falling along a cosine, weight decay 0.01; seed %d", e.Steps, e.Batch, e.Seed)},
	}}
	maps := r.Maps()
	p.Sections = append([]view.Section{table(r.Numbers())}, curve(losses)...)
	p.Sections = append(p.Sections,
		view.Maps{
			Title: "QK: what is looked at", Maps: maps[:1],
			About: "The score that a number in the last place (row) gives to a number anywhere (column), positions averaged. All rows grow to the right: whatever the last number is, larger ones get more attention. A softmax of steps of about 1 nearly takes the largest.",
		},
		view.Maps{
			Title: "OV: what is said", Maps: maps[1:2],
			About: "What looking at a number (row) adds to the logit of each answer (column). The diagonal stands out: the number that is looked at is said. The head copies.",
		},
		view.Maps{
			Title: "What doesn't matter", Maps: maps[2:],
			About: fmt.Sprintf("What the place of a key adds to its score, over a range of %s where the numbers' is %s; and what the last number adds to the logits past the head, over %s where the head's is %s.",
				Digits(r.PositionRange), Digits(r.QKRange), Digits(r.DirectRange), Digits(r.OVRange)),
		},
		r.gapBars(), r.singularLines())
	for i, s := range r.Samples[:min(3, len(r.Samples))] {
		p.Sections = append(p.Sections, view.Attention{
			Title: fmt.Sprintf("List %d", i+1), Tokens: ids(s.List), Heads: 1, Patterns: [][]float32{s.Pattern},
			About: fmt.Sprintf("The last row is what counts. The answer is %d.", s.Guess),
		})
	}
	return p
}

// gapBars shows where errors are.
func (r *MaxReport) gapBars() view.Section {
	b := view.Bars{Title: "Errors by gap", Unit: "% wrong", About: "By how far the second largest number is below the largest; 0: it is there twice."}
	for i, g := range r.Gaps {
		name := fmt.Sprint(g.Gap)
		if i == maxGaps-1 {
			name += " or more"
		}
		b.Names, b.Values = append(b.Names, name), append(b.Values, float32(100*(1-g.Accuracy)))
	}
	return b
}

// singularLines shows that the QK circuit does one thing.
func (r *MaxReport) singularLines() view.Section {
	l := view.Lines{Title: "Singular values of QK", XName: "number", YName: "size", About: "One is all there is: score = f(query)·g(key), and g grows."}
	values := make([]float32, min(10, len(r.Singular)))
	for i := range values {
		l.X, values[i] = append(l.X, fmt.Sprint(i+1)), float32(r.Singular[i])
	}
	l.Series = []view.Series{{Name: "singular value", Values: values}}
	return l
}
