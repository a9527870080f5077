package cli

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/interp/view"
)

// aboutScores says what the scores are, on a page.
var aboutScores = map[string]string{
	interp.Previous:             "Attention to the previous token, the mean over tokens.",
	interp.Current:              "Attention to the token itself.",
	interp.BOS:                  "Attention to the first token, where heads rest that have nothing to do.",
	interp.BOSArena:             "Attention to the first token, the first token's own counted, as ARENA does.",
	interp.Duplicate:            "Attention to the same token one period earlier.",
	interp.Induction:            "Attention to the token that followed the same token one period earlier.",
	interp.InductionArena:       "The same over the whole diagonal, as ARENA has it.",
	interp.InductionText:        "Attention to the tokens that followed earlier copies of a token.",
	interp.PrefixMatch:          "Olsson et al.'s prefix matching: the same on 25 random tokens, four times.",
	interp.PreviousMul:          "TransformerLens' detect_head for the previous token: the share of attention that goes there.",
	interp.DuplicateMul:         "TransformerLens' detect_head for duplicate tokens: the share of attention that goes there.",
	interp.InductionMul:         "TransformerLens' detect_head for induction: the share of attention that goes there.",
	interp.PreviousAbs:          "TransformerLens' detect_head for the previous token with error measure abs.",
	interp.DuplicateAbs:         "TransformerLens' detect_head for duplicate tokens with error measure abs.",
	interp.InductionAbs:         "TransformerLens' detect_head for induction with error measure abs.",
	interp.Entropy:              "How wide a head looks, in nats: 0 is one token.",
	interp.EntropyNormalized:    "The entropy over the largest that it could be: 1 is all tokens alike.",
	interp.Locality:             "The mean distance to what is attended to, in tokens.",
	interp.Prompt:               "Attention to the soft prompt or prefix, all of it together.",
	interp.CopyingScore:         "Whether a head's output raises the logit of the token attended to: from −1 to 1, by eigenvalues of its OV circuit.",
	interp.CopyingResidualScore: "The same without embedding and output matrix: of W_V·W_O.",
	interp.DirectScore:          "What the head adds to the logits on the direct path (direct logit attribution).",
	interp.AblationScore:        "How much the metric grows when the head's output is set to zero.",
	interp.AttributionScore:     "How much the metric would change if the head's output were that of the text: gradient times difference.",
}

// page shows everything.
func (r *headReport) page(seen *seenText) view.Page {
	p := view.Page{Title: "What the heads do: " + filepath.Base(r.Model), Facts: r.facts(), Warnings: r.Warnings}
	p.Sections = append(p.Sections, view.Scores{
		Title: "Scores", Scores: r.drawnScores(), Group: r.share,
		About: "A row for each layer, a column for each head. The baseline is what a head would have that looked at all tokens alike.",
	})
	if r.text {
		p.Sections = append(p.Sections, seen.losses)
	}
	seen.attention.Layer, seen.attention.Head = r.foremost()
	p.Sections = append(p.Sections, seen.attention, r.parts())
	r.drawCompositions(&p)
	return p
}

// facts say what was looked at.
func (r *headReport) facts() []view.Fact {
	facts := []view.Fact{
		{Name: "model", Value: fmt.Sprintf("%s, %s parameters, %s", r.Model, thousands(r.Params), r.Type)},
		{Name: "heads", Value: fmt.Sprintf("%s of %s, %d for keys", count(r.Layers, "layer"), count(r.Heads, "head"), r.KVHeads)},
		{Name: "device", Value: deviceName(r.Device)},
		{Name: "input", Value: r.input()},
	}
	if len(r.Adapters) > 0 {
		facts = append(facts, view.Fact{Name: "adapters", Value: strings.Join(r.Adapters, ", ")})
	}
	return append(facts, madeBy())
}

// drawnScores are all scores, the most telling first.
func (r *headReport) drawnScores() []view.Score {
	first := map[string]int{}
	for i, s := range shownScores {
		first[s.name] = i - len(shownScores)
	}
	names := slices.SortedFunc(maps.Keys(r.Scores), func(a, b string) int {
		return cmp.Or(cmp.Compare(first[a], first[b]), strings.Compare(a, b))
	})
	var all []view.Score
	for _, name := range names {
		all = append(all, r.drawnScore(name))
	}
	return all
}

func (r *headReport) drawnScore(name string) view.Score {
	return view.Score{Name: name, About: aboutScores[name], Values: drawn(r.Scores[name]), Baseline: r.meanBaseline(name), Threshold: r.threshold(name)}
}

// meanBaseline is the mean over layers, which differ where some have a window; 0 without one.
func (r *headReport) meanBaseline(name string) float64 {
	sum := 0.0
	for _, v := range r.Baseline[name] {
		sum += v / float64(len(r.Baseline[name]))
	}
	return sum
}

// threshold is from where on a head is called what the score is for; 0: never.
func (r *headReport) threshold(name string) float64 {
	for _, s := range shownScores {
		if s.name == name && s.note != "" {
			return r.Settings.Threshold
		}
	}
	return 0
}

// drawn is a table as package view wants it.
func drawn(t interp.Table) [][]float32 {
	rows := make([][]float32, len(t))
	for l, heads := range t {
		for _, v := range heads {
			rows[l] = append(rows[l], float32(v))
		}
	}
	return rows
}

// foremost is the head to show first: that of the most induction, or else of the first score.
func (r *headReport) foremost() (layer, head int) {
	for _, name := range []string{interp.Induction, interp.InductionText, interp.Previous} {
		if r.Scores[name] != nil {
			top := r.found.Top(name, 1, nil, nil)[0]
			return top.Layer, top.Head
		}
	}
	return 0, 0
}

// parts are what the layers' sublayers add to the logits.
func (r *headReport) parts() view.Bars {
	bars := view.Bars{
		Title: "Direct logit attribution", Unit: "logits", Names: []string{"embedding"}, Values: []float32{float32(r.Embed)},
		About: fmt.Sprintf("What each part adds to the %s on the direct path; together %.3f.", r.attributed(), r.Logit),
	}
	for l, heads := range r.Scores[interp.DirectScore] {
		sum := 0.0
		for _, v := range heads {
			sum += v
		}
		bars.Names = append(bars.Names, fmt.Sprintf("L%d heads", l), fmt.Sprintf("L%d MLP", l))
		bars.Values = append(bars.Values, float32(sum), float32(r.MLPs[l]))
	}
	return bars
}

// attributed is what direct logit attribution is about.
func (r *headReport) attributed() string {
	switch {
	case r.Settings.Target == nil:
		return "logits of the tokens that come next (the mean)"
	case r.Settings.Foil == nil:
		return "logit of the target after the text"
	}
	return "difference of the logits of target and foil after the text"
}
