package cli

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
)

// writePage makes --html; more are sections that come last.
func (r *tuningReport) writePage(c *cli.Context, b *base, with *adapterSet, more []view.Section) error {
	name := c.String("html")
	if name == "" {
		return nil
	}
	seen, err := lookAt(c.Context, b, with, c.Int("task"), r.Tokens[0])
	if err == nil {
		err = writeView(name, r.page(seen, more))
	}
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// page shows everything.
func (r *tuningReport) page(seen *seenText, more []view.Section) view.Page {
	p := view.Page{Title: "What tuning changed: " + filepath.Base(r.Model), Facts: r.of.facts(), Warnings: r.Warnings}
	add := func(s ...view.Section) { p.Sections = append(p.Sections, s...) }
	add(r.scores(), r.divergence(), r.parts())
	if t := r.missed(); t.Rows != nil {
		add(t)
	}
	if r.Attention != nil {
		add(view.Maps{Title: "Attention to the prompt", Maps: []view.Matrix{r.promptMap()}, About: "From the tokens of the text, the mean over tokens and heads."})
		add(view.Maps{Title: "Attention to the prompt, by head", Maps: r.promptMaps(), Same: true})
	}
	if r.Nearest != nil {
		add(nearestTable(r.Nearest))
	}
	if r.Lens != nil {
		lens := (&lensReport{Tokens: promptTokens(len(r.Lens[0].Guesses)), Places: r.Lens}).lensView("Logit lens at the prompt")
		lens.About = "What the stream would say at each position of the prompt. The first row is the prompt's vectors themselves."
		add(lens)
	}
	if r.Directions != nil {
		add(r.directionTable())
	}
	seen.attention.Title, seen.attention.Layer, seen.attention.Head = "Attention, tuned", 0, 0
	if r.Attention != nil {
		top := r.found.Tuned.Top(interp.Prompt, 1, nil, nil)[0]
		seen.attention.Layer, seen.attention.Head = top.Layer, top.Head
	}
	add(seen.attention)
	add(more...)
	return p
}

// scores compares all scores.
func (r *tuningReport) scores() view.Scores {
	s := view.Scores{
		Title: "Scores", Runs: []string{"base", "tuned"}, Group: r.of.share,
		About: "A row for each layer, a column for each head, without and with the adapters.",
	}
	names := r.changedScores()
	for name := range r.Base.Scores {
		if !slices.Contains(names, name) && r.Tuned.Scores[name] != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names[len(r.changedScores()):])
	r.of.Baseline = r.found.Base.Baseline
	for _, name := range names {
		s.Scores = append(s.Scores, view.Score{
			Name: name, About: aboutScores[name], Values: drawn(r.Base.Scores[name]), Second: drawn(r.Tuned.Scores[name]),
			Baseline: r.of.meanBaseline(name), Threshold: r.of.threshold(name),
		})
	}
	return s
}

// divergence draws how the two models come apart.
func (r *tuningReport) divergence() view.Lines {
	lines := view.Lines{
		Title: "Divergence by layer", XName: "before layer", YName: "KL, nats",
		About: "How far the tuned model's next-token distribution is from the base's, KL(tuned‖base), if the stream were read there as at the end (logit lens).",
	}
	mean, last := view.Series{Name: "mean over the text"}, view.Series{Name: "last token"}
	for l, p := range r.Divergence {
		lines.X = append(lines.X, fmt.Sprint(l))
		mean.Values, last.Values = append(mean.Values, float32(p.mean())), append(last.Values, float32(p.last()))
	}
	lines.X[len(lines.X)-1] = "end"
	lines.Series = []view.Series{mean, last}
	return lines
}

// parts are how what the sublayers add to the logits has changed.
func (r *tuningReport) parts() view.Bars {
	bars := view.Bars{
		Title: "Change of direct logit attribution", Unit: "logits", Names: []string{"embedding"}, Values: []float32{float32(r.Tuned.Embed - r.Base.Embed)},
		About: fmt.Sprintf("How much more each part adds to the %s than before; together %.3f, and tuned %.3f.", r.of.attributed(), r.Base.Logit, r.Tuned.Logit),
	}
	for l := range r.Layers {
		sum := 0.0
		for h, v := range r.Tuned.Scores[interp.DirectScore][l] {
			sum += v - r.Base.Scores[interp.DirectScore][l][h]
		}
		bars.Names = append(bars.Names, fmt.Sprintf("L%d heads", l), fmt.Sprintf("L%d MLP", l))
		bars.Values = append(bars.Values, float32(sum), float32(r.Tuned.MLPs[l]-r.Base.MLPs[l]))
	}
	return bars
}

// missed lists the heads whose removal does most in either model.
func (r *tuningReport) missed() view.Table {
	t := view.Table{
		Title: "Heads that are missed", Columns: []string{"head", "base", "tuned"},
		About: "How much the metric grows when the head's output is set to zero, in each model: those that matter most in either.",
	}
	base, tuned := r.Base.Scores[interp.AblationScore], r.Tuned.Scores[interp.AblationScore]
	if base == nil {
		return t
	}
	seen := map[string]bool{}
	for _, x := range slices.Concat(largest(base, 10), largest(tuned, 10)) {
		if name := (interp.HeadAt{Layer: x.Layer, Head: x.Head}).String(); !seen[name] {
			seen[name] = true
			t.Rows = append(t.Rows, []string{name, fmt.Sprintf("%+.3f", base[x.Layer][x.Head]), fmt.Sprintf("%+.3f", tuned[x.Layer][x.Head])})
		}
	}
	return t
}

// largest are the n heads with the largest values, of either sign.
func largest(t interp.Table, n int) []interp.Ranked {
	zero := make(interp.Table, len(t))
	for l := range t {
		zero[l] = make([]float64, len(t[l]))
	}
	one := func(x interp.Table) *interp.Heads { return &interp.Heads{Scores: map[string]interp.Table{"": x}} }
	return (&interp.Tuning{Base: one(zero), Tuned: one(t)}).Changed("", n)
}

// promptMap is the attention to each position by layer, the mean over heads.
func (r *tuningReport) promptMap() view.Matrix {
	m := view.Matrix{Title: "attention to the prompt", RowName: "layer", ColumnName: "position of the prompt"}
	for _, heads := range r.Attention {
		row := make([]float32, len(heads[0]))
		for _, positions := range heads {
			for j, v := range positions {
				row[j] += float32(v) / float32(len(heads))
			}
		}
		m.Values = append(m.Values, row)
	}
	return m
}

// promptMaps are the attention of heads × positions, layer by layer.
func (r *tuningReport) promptMaps() []view.Matrix {
	var all []view.Matrix
	for l, heads := range r.Attention {
		all = append(all, view.Matrix{Title: fmt.Sprintf("layer %d", l), RowName: "head", ColumnName: "position", Values: drawn(heads)})
	}
	return all
}

// promptTokens are the positions of a soft prompt.
func promptTokens(n int) []lensToken {
	var all []lensToken
	for i, name := range leading(n) {
		all = append(all, lensToken{Position: i, ID: -1, Text: name})
	}
	return all
}

// nearestTable names the tokens near a prompt's vectors.
func nearestTable(near [][]nearToken) view.Table {
	t := view.Table{
		Title: "Nearest tokens", About: "The tokens whose embeddings point most in the direction of each vector, with the cosine.",
		Columns: []string{"vector", "token", "cosine", "next nearest"},
	}
	for i, list := range near {
		rest := ""
		for _, n := range list[1:] {
			rest += fmt.Sprintf("%s %.2f  ", view.Label(n.Text), n.Cosine)
		}
		t.Rows = append(t.Rows, []string{fmt.Sprint(i), view.Label(list[0].Text), fmt.Sprintf("%.2f", list[0].Cosine), rest})
	}
	return t
}

// directionTable lists the directions of a LoRA.
func (r *tuningReport) directionTable() view.Table {
	t := view.Table{
		Title: "Singular directions of the change", Columns: []string{"layer", "matrix", "direction", "size", "share", "along", "against"},
		About: "Each change B·A of a matrix, taken apart. Matrices that write to the stream by what they write, others by what they read; " +
			"the tokens are those that the end of the model would say, if the stream were that direction or its opposite. The sign means nothing.",
	}
	for _, d := range r.strongestDirections(len(r.Directions)) {
		layer, proj, _ := layerModule(r.of.config, d.Module)
		t.Rows = append(t.Rows, []string{
			fmt.Sprint(layer), proj.String(), fmt.Sprint(d.Index), fmt.Sprintf("%.3f", d.Size), fmt.Sprintf("%.3f", d.Share),
			guessList(d.Along), guessList(d.Against),
		})
	}
	return t
}
