package cli

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/gpupeft/gpupeft/interp/view"
)

// page shows the guesses of all layers.
func (r *lensReport) page() view.Page {
	lens := r.lensView("What each layer would predict")
	lens.About = "The stream before every layer, and behind the last, read as if it were the end (logit lens)."
	return view.Page{
		Title: "Logit lens: " + filepath.Base(r.Model), Facts: []view.Fact{{Name: "model", Value: r.Model}, madeBy()},
		Sections: []view.Section{lens, r.divergence()},
	}
}

// lensView is the section with the guesses.
func (r *lensReport) lensView(title string) view.Lens {
	v := view.Lens{Title: title}
	some := false
	for _, t := range r.Tokens {
		v.Tokens = append(v.Tokens, t.Text)
		target := "—"
		if t.Next != nil {
			target, some = *t.Next, true
		}
		v.Targets = append(v.Targets, target)
	}
	for _, p := range r.Places {
		v.Layers = append(v.Layers, shortHook(p.Hook))
		row, next := make([][]view.Candidate, len(p.Guesses)), make([]float32, len(p.Next))
		for i, guesses := range p.Guesses {
			for _, g := range guesses {
				row[i] = append(row[i], view.Candidate{Token: g.Text, Probability: float32(g.Probability)})
			}
		}
		for i, x := range p.Next {
			if next[i] = float32(math.NaN()); x != nil {
				next[i] = float32(*x)
			}
		}
		v.Top, v.Probability = append(v.Top, row), append(v.Probability, next)
	}
	if !some {
		v.Targets, v.Probability = nil, nil
	}
	return v
}

// divergence draws how far each token's guesses are from the final ones.
func (r *lensReport) divergence() view.Lines {
	lines := view.Lines{Title: "Divergence from the end", XName: "before layer", YName: "KL, nats", About: "How far each layer's distribution is from the final one."}
	for i, t := range r.Tokens {
		lines.Series = append(lines.Series, view.Series{Name: fmt.Sprintf("%d %s", t.Position, view.Label(t.Text))})
		for _, p := range r.Places {
			lines.Series[i].Values = append(lines.Series[i].Values, float32(p.KL[i]))
		}
	}
	for l := range r.Places {
		lines.X = append(lines.X, fmt.Sprint(l))
	}
	lines.X[len(lines.X)-1] = "end"
	return lines
}

func shortHook(hook string) string { return strings.TrimPrefix(hook, "blocks.") }
