package view_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/gpupeft/gpupeft/interp/view"
)

// sampleTokens are 60 tokens in which phrases come again.
func sampleTokens() []string {
	text := "<s>| When| Mary| and| John| went| to| the| store|,| John| gave| a| drink| to| Mary|.|\n|" +
		" The| drink| was| cold|,| and| Mary| was| glad|.|\n| When| Mary| and| John| went| to| the| park|,| Mary|" +
		" gave| a| ball| to| John|.|\n| The| ball| was| red|,| and| John| was| glad|.|\n| Then| it"
	return strings.Split(text, "|")
}

// samplePatterns are attention patterns of heads of several kinds: to the first token,
// to the one before, to what followed the same token earlier, to itself, to all.
func samplePatterns(tokens []string, layers, heads int) [][]float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	n := len(tokens)
	patterns := make([][]float32, layers)
	for l := range patterns {
		for h := range heads {
			kind, sharp := (3*l+5*h+l*h)%7, 1+4*rng.Float64()
			for q := range n {
				row, sum := make([]float64, n), 0.0
				for k := range q + 1 {
					score := 0.6 * rng.NormFloat64()
					switch {
					case kind == 0 && k == q-1, kind == 1 && k == q, kind == 2 && k > 0 && tokens[k-1] == tokens[q] && k <= q,
						kind == 3 && tokens[k] == tokens[q]:
						score += sharp + 2
					case kind == 5:
						score -= float64(q-k) / sharp
					}
					if k == 0 && kind != 1 {
						score += 2.5
					}
					row[k] = math.Exp(score)
					sum += row[k]
				}
				for _, w := range row {
					patterns[l] = append(patterns[l], float32(w/sum))
				}
			}
		}
	}
	return patterns
}

// sampleScores are the means of the weights at a distance, by layer and head.
func sampleScores(patterns [][]float32, heads, n int, distance int) [][]float32 {
	scores := make([][]float32, len(patterns))
	for l, p := range patterns {
		for h := range heads {
			sum := float32(0)
			for q := distance; q < n; q++ {
				sum += p[(h*n+q)*n+q-distance]
			}
			scores[l] = append(scores[l], sum/float32(n-distance))
		}
	}
	return scores
}

func noise(rows, columns int, size float64, seed uint64) [][]float32 {
	rng := rand.New(rand.NewPCG(seed, 7))
	m := make([][]float32, rows)
	for i := range m {
		for range columns {
			m[i] = append(m[i], float32(size*rng.NormFloat64()*math.Exp(1.2*rng.NormFloat64())))
		}
	}
	return m
}

func plus(a, b [][]float32) [][]float32 {
	sum := make([][]float32, len(a))
	for i := range a {
		for j := range a[i] {
			sum[i] = append(sum[i], a[i][j]+b[i][j])
		}
	}
	return sum
}

func numbered(format string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return names
}

// samplePage has a section of each kind, of a model of 12 × 12 heads on 60 tokens.
func samplePage() view.Page {
	const layers, heads = 12, 12
	tokens := sampleTokens()
	patterns := samplePatterns(tokens, layers, heads)
	n := len(tokens)
	previous, current := sampleScores(patterns, heads, n, 1), sampleScores(patterns, heads, n, 0)
	induction := sampleScores(patterns, heads, n, 28)
	dla := noise(layers, heads, 0.2, 1)
	return view.Page{
		Title: "Heads of a model of 12 layers",
		Facts: []view.Fact{
			{Name: "model", Value: "sample, 12 layers × 12 heads"},
			{Name: "tokens", Value: fmt.Sprint(n)},
			{Name: "device", Value: "cpu"},
			{Name: "seed", Value: "0"},
		},
		Warnings: []string{"These numbers are made up: this page shows how pages look."},
		Sections: []view.Section{
			view.Scores{Title: "Scores of heads", About: "What each head’s attention pattern does, as a mean over the sequence.", Group: 3, Scores: []view.Score{
				{Name: "previous token", About: "Mean attention to the token before.", Values: previous, Baseline: 0.078, Threshold: 0.4},
				{Name: "current token", About: "Mean attention to the token itself.", Values: current, Baseline: 0.078, Threshold: 0.4},
				{Name: "induction", About: "Mean attention to what followed the same token 29 tokens earlier.", Values: induction, Baseline: 0.022, Threshold: 0.1},
				{Name: "direct logit attribution", About: "What each head adds to the logit of the next token.", Values: dla},
			}},
			view.Attention{Title: "Attention", About: "What each token attends to.", Tokens: tokens, Heads: heads, Patterns: patterns, Group: 3, Layer: 2, Head: 1},
			view.Text{Title: "Tokens", About: "The text, coloured by what the model makes of it.", Tokens: tokens, Series: []view.Series{
				{Name: "loss", Values: losses(n)}, {Name: "direct logit attribution of L2H1", Values: noise(1, n, 0.5, 3)[0]},
			}},
			sampleLens(tokens),
			view.Bars{
				Title: "Direct logit attribution", About: "What each part of the model adds to the logit of “ Mary” minus that of “ John”.", Unit: "logits",
				Names: append([]string{"embedding"}, components(layers)...), Values: noise(1, 2*layers+1, 0.4, 4)[0],
			},
			view.Lines{Title: "Loss", XName: "step", YName: "loss, nats", X: numbered("%d", 101), Series: []view.Series{
				{Name: "training", Values: curve(101, 4, 0.3)}, {Name: "held out", Values: curve(101, 4.2, 0.15)},
			}},
			view.Maps{Title: "Full circuits", About: "A toy model’s QK and OV circuits, from token to token.", Maps: []view.Matrix{
				circuit("QK circuit", "query", "key", func(r, c int) float64 { return 1.2*float64(c-32) + 0.1*float64(r) }),
				circuit("OV circuit", "attended", "logit of", func(r, c int) float64 {
					if r == c {
						return 30
					}
					return 6 * math.Sin(float64(3*r+5*c))
				}),
			}},
			sampleGraph(),
		},
	}
}

// differencePage compares a base with its tuned model.
func differencePage() view.Page {
	const layers, heads, virtual = 12, 12, 8
	tokens := append(numbered("‹%d›", virtual), sampleTokens()...)
	patterns := samplePatterns(tokens, layers, heads)
	base := sampleScores(patterns, heads, len(tokens), 1)
	tuned := plus(base, noise(layers, heads, 0.02, 8))
	dla := noise(layers, heads, 0.2, 1)
	var maps []view.Matrix
	for l := range layers {
		values := noise(heads, virtual, 0.05, uint64(20+l))
		for _, row := range values {
			for i, v := range row {
				row[i] = float32(min(1, math.Abs(float64(v))))
			}
		}
		maps = append(maps, view.Matrix{Title: fmt.Sprintf("layer %d", l), RowName: "head", ColumnName: "virtual token", Values: values})
	}
	rows := make([][]string, virtual)
	for i := range rows {
		rows[i] = []string{fmt.Sprint(i), view.Label(" good") + " 0.83", view.Label(" bad") + " 0.71", view.Label("\n") + " 0.64", fmt.Sprintf("%.2f", 1+0.1*float64(i))}
	}
	return view.Page{
		Title: "What prompt tuning changed",
		Facts: []view.Fact{{Name: "model", Value: "sample"}, {Name: "adapter", Value: "prompt, 8 virtual tokens"}},
		Sections: []view.Section{
			view.Scores{Title: "Heads before and after", Runs: []string{"base", "tuned"}, Scores: []view.Score{
				{Name: "previous token", About: "Mean attention to the token before.", Values: base, Second: tuned, Baseline: 0.08},
				{Name: "direct logit attribution", Values: dla, Second: plus(dla, noise(layers, heads, 0.05, 9))},
			}},
			view.Lines{
				Title: "Divergence by layer", About: "KL of the tuned model’s logit lens from the base’s.", XName: "layer", YName: "KL, nats",
				X: numbered("%d", layers), Series: []view.Series{{Name: "mean", Values: curve(layers, 0.01, 0.9)}, {Name: "last token", Values: curve(layers, 0.02, 1.4)}},
			},
			view.Maps{Title: "Attention to the prompt", About: "Mean attention of every head to each virtual token.", Same: true, Maps: maps},
			view.Table{
				Title: "Nearest tokens", About: "The vocabulary nearest to each vector of the prompt, by cosine.",
				Columns: []string{"virtual token", "nearest", "second", "third", "norm"}, Rows: rows,
			},
			view.Attention{Title: "Attention with the prompt", Tokens: tokens, Heads: heads, Patterns: patterns},
		},
	}
}

func losses(n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(6*math.Exp(-float64(i)/20) + 1.5 + 1.5*math.Sin(float64(i*i)))
	}
	values[n-1] = float32(math.NaN()) // nothing follows
	return values
}

func curve(n int, start, end float64) []float32 {
	values := make([]float32, n)
	for i := range values {
		t := float64(i) / float64(n-1)
		values[i] = float32(start + (end-start)*(1-math.Exp(-4*t)) + 0.03*math.Sin(float64(i)*2))
	}
	return values
}

func components(layers int) []string {
	var names []string
	for l := range layers {
		names = append(names, fmt.Sprintf("attention %d", l), fmt.Sprintf("MLP %d", l))
	}
	return names
}

func circuit(title, rows, columns string, f func(r, c int) float64) view.Matrix {
	m := view.Matrix{Title: title, RowName: rows, ColumnName: columns}
	for r := range 64 {
		m.Rows, m.Columns = append(m.Rows, fmt.Sprint(r)), append(m.Columns, fmt.Sprint(r))
		var row []float32
		for c := range 64 {
			row = append(row, float32(f(r, c)))
		}
		m.Values = append(m.Values, row)
	}
	return m
}

func sampleLens(tokens []string) view.Lens {
	l := view.Lens{
		Title: "Logit lens", About: "What each layer’s residual stream, unembedded, takes for the next token.", Tokens: tokens,
		Layers: append([]string{"embedding"}, numbered("layer %d", 12)...), Targets: append(tokens[1:len(tokens):len(tokens)], " was"),
	}
	for i := range l.Layers {
		var row [][]view.Candidate
		var target []float32
		for t := range tokens {
			p := float32(0.95 * math.Pow(float64(i+1)/13, 2) * (0.5 + 0.5*math.Sin(float64(t))*math.Sin(float64(t))))
			top := []view.Candidate{{Token: l.Targets[t], Probability: p}, {Token: " the", Probability: 0.4 * (1 - p)}, {Token: " encyclopaedia", Probability: 0.1 * (1 - p)}}
			if i < 6 && t%3 > 0 {
				top[0].Token, top[1].Token = tokens[t], l.Targets[t]
				top[0].Probability = max(p, 0.05)
			}
			row = append(row, top)
			target = append(target, p)
		}
		l.Top, l.Probability = append(l.Top, row), append(l.Probability, target)
	}
	return l
}

func sampleGraph() view.Graph {
	g := view.Graph{Title: "Circuit", About: "The edges that matter most for the answer.", Unit: "logits", Nodes: []view.Node{{Name: "embedding", Kind: "input"}}}
	for l := range 6 {
		for h := range 4 {
			g.Nodes = append(g.Nodes, view.Node{Name: fmt.Sprintf("L%dH%d", l, h), Row: 2*l + 1, Kind: "head"})
		}
		g.Nodes = append(g.Nodes, view.Node{Name: fmt.Sprintf("MLP %d", l), Row: 2*l + 2, Kind: "mlp"})
	}
	g.Nodes = append(g.Nodes, view.Node{Name: "logits", Row: 13, Kind: "output"})
	weights := noise(len(g.Nodes), len(g.Nodes), 0.1, 5)
	for i, from := range g.Nodes {
		for j, to := range g.Nodes {
			if from.Row < to.Row {
				g.Edges = append(g.Edges, view.Edge{From: i, To: j, Weight: weights[i][j]})
			}
		}
	}
	return g
}
