package circuits

import (
	"fmt"
	"strings"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
)

// expected says whether the example has the sizes that its numbers are known for.
func (n Induction) expected() bool {
	d := Induction{Seed: n.Seed}.withDefaults()
	return n.Vocab == d.Vocab && n.Length == d.Length && n.Width == d.Width && n.Heads == d.Heads && n.Steps >= d.Steps && n.Batch >= d.Batch
}

// at is a head's entry.
func at(t interp.Table, h interp.HeadAt) float64 { return t[h.Layer][h.Head] }

// Numbers implements Report.
func (r *InductionReport) Numbers() []Number {
	all := []Number{
		Number{Name: "accuracy", About: fmt.Sprintf("of second rounds, in %d fresh sequences", r.Example.Tests), Value: r.Accuracy}.atLeast(0.98),
		{Name: "without previous", About: fmt.Sprintf("the same, without the heads that look at the token before (%s)", names(r.PreviousHeads)), Value: r.WithoutPrevious},
		Number{Name: "without first layer", About: "the same, without all heads of the first layer", Value: r.WithoutFirst}.atMost(0.25),
		Number{Name: "without induction", About: fmt.Sprintf("the same, without the induction heads (%s)", names(r.InductionHeads)), Value: r.WithoutInduction}.atMost(0.2),
		Number{Name: "K-composition", About: fmt.Sprintf("of %v with %v, over that of random matrices", r.Earlier, r.Later), Value: r.Composition[r.Earlier.Head][r.Later.Head] / r.CompositionBaseline}.atLeast(1.2),
		Number{Name: "previous " + r.Earlier.String(), About: fmt.Sprintf("mean attention to the token before; %s if it looked everywhere alike", Digits(r.PreviousBaseline)), Value: at(r.Previous, r.Earlier)}.atLeast(headThreshold),
		Number{Name: "induction " + r.Later.String(), About: fmt.Sprintf("mean attention to what followed the same token before; %s if it looked everywhere alike", Digits(r.InductionBaseline)), Value: at(r.Induction, r.Later)}.atLeast(headThreshold),
		Number{Name: "matching", About: "share of tokens that their circuit finds first behind themselves", Value: r.Matching}.atLeast(0.9),
		Number{Name: "copying " + r.Later.String(), About: "Σ Re λ / Σ |λ| over the eigenvalues of its OV circuit", Value: at(r.Copying, r.Later)}.atLeast(0.9),
		{Name: "OV diagonal", About: "share of tokens whose own logit its OV circuit raises most", Value: r.Diagonal},
	}
	if !r.Example.expected() {
		for i := range all {
			all[i].Least, all[i].Most = 0, 0
		}
	}
	return all
}

// names lists heads.
func names(heads []interp.HeadAt) string {
	if len(heads) == 0 {
		return "none"
	}
	var all []string
	for _, h := range heads {
		all = append(all, h.String())
	}
	return strings.Join(all, ", ")
}

// Maps implements Report.
func (r *InductionReport) Maps() []view.Matrix {
	all := []view.Matrix{
		{Title: "Matching", RowName: "present token", ColumnName: "token before the key", Values: r.Match},
		{Title: "OV", RowName: "attended", ColumnName: "logit", Values: r.OV},
	}
	for _, h := range []interp.HeadAt{r.Earlier, r.Later} {
		if m, err := r.attention().Matrix(h.Layer, h.Head); err == nil {
			all = append(all, m)
		}
	}
	return all
}

// attention is the section with the sample's patterns.
func (r *InductionReport) attention() view.Attention {
	return view.Attention{
		Title: "A sequence", Tokens: ids(r.Sample), Heads: r.Example.Heads, Patterns: r.Patterns, Layer: r.Later.Layer, Head: r.Later.Head,
		About: fmt.Sprintf("Patterns of all heads. %v looks at the token before. In second rounds, %v looks at what came after the present token in the first.", r.Earlier, r.Later),
	}
}

// Remarks implements Report.
func (r *InductionReport) Remarks() []string {
	var all []string
	for _, several := range []struct {
		heads []interp.HeadAt
		one   interp.HeadAt
		do    string
	}{{r.PreviousHeads, r.Earlier, "look at the token before"}, {r.InductionHeads, r.Later, "are induction heads"}} {
		if len(several.heads) > 1 {
			all = append(all, fmt.Sprintf("%s all %s and stand in for each other: without %v alone, %s of the answers stay right.",
				names(several.heads), several.do, several.one, percent(at(r.WithoutHead, several.one))))
		}
	}
	if r.WithoutPrevious > r.WithoutFirst+0.1 {
		all = append(all, fmt.Sprintf("Other heads of the first layer do a little of the same (scores: %s): without %s, %s of the answers stay right, and without the whole layer %s.",
			scores(r.Previous[0]), names(r.PreviousHeads), percent(r.WithoutPrevious), percent(r.WithoutFirst)))
	}
	return append(all, fmt.Sprintf("%v looks at the token before with %s of its attention, and not with all: the later head has to tell places apart, and this is enough.", r.Earlier, percent(at(r.Previous, r.Earlier))))
}

// scores lists numbers.
func scores(values []float64) string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprintf("%.2f", v))
	}
	return strings.Join(all, ", ")
}

// Page implements Report.
func (r *InductionReport) Page(losses []float64) view.Page {
	e := r.Example
	p := view.Page{Title: "Induction", Warnings: r.Remarks(), Facts: []view.Fact{
		{Name: "model", Value: fmt.Sprintf("two layers of %d attention heads, width %d, vocabulary %d; no MLP, no norms, no biases, learned positions", e.Heads, e.Width, e.Vocab)},
		{Name: "training", Value: fmt.Sprintf("%d steps of %d sequences of %d tokens, AdamW, learning rate 0.001, weight decay 0.01; seed %d", e.Steps, e.Batch, e.Length, e.Seed)},
	}}
	maps := r.Maps()
	p.Sections = append([]view.Section{table(r.Numbers())}, curve(losses)...)
	p.Sections = append(p.Sections,
		view.Scores{Title: "Heads", Scores: []view.Score{
			{Name: "previous token", About: "Mean attention to the token before.", Values: singles(r.Previous), Baseline: r.PreviousBaseline, Threshold: headThreshold},
			{Name: "induction", About: "Mean attention to what followed the same token before.", Values: singles(r.Induction), Baseline: r.InductionBaseline, Threshold: headThreshold},
			{Name: "copying", About: "Eigenvalues of the OV circuit: 1 where each token raises itself.", Values: singles(r.Copying)},
			{Name: "accuracy without", About: "Share of right answers without the head.", Values: singles(r.WithoutHead)},
		}},
		r.graph(),
		view.Maps{
			Title: "Matching", Maps: maps[:1],
			About: fmt.Sprintf("The score that %v, at a token (row), gives to a place behind a token (column), through what %v writes there. The diagonal stands out: it looks at places behind the token that it is at.", r.Later, r.Earlier),
		},
		view.Maps{
			Title: "OV", Maps: maps[1:2],
			About: fmt.Sprintf("What looking at a token (row) adds to the logit of each answer (column) through %v. It copies: what it looks at is said.", r.Later),
		},
		r.attention())
	return p
}

// singles are a table's numbers in single precision.
func singles(t interp.Table) [][]float32 {
	rows := make([][]float32, len(t))
	for i, row := range t {
		for _, v := range row {
			rows[i] = append(rows[i], float32(v))
		}
	}
	return rows
}

// graph shows which heads read which.
func (r *InductionReport) graph() view.Section {
	g := view.Graph{
		Title: "K-composition", Unit: "over random",
		About: "How strongly the keys of each head of the second layer read what each of the first has written, from weights alone, less what random matrices have.",
	}
	for l := range 2 {
		for h := range r.Example.Heads {
			g.Nodes = append(g.Nodes, view.Node{Name: interp.HeadAt{Layer: l, Head: h}.String(), Row: 2*l + 1, Kind: "head"})
		}
	}
	for a, later := range r.Composition {
		for b, v := range later {
			g.Edges = append(g.Edges, view.Edge{From: a, To: r.Example.Heads + b, Weight: float32(v - r.CompositionBaseline)})
		}
	}
	return g
}
