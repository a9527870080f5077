package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// tuningReport says what adapters change inside a model: the result of inspect-heads --diff
// --json, and part of that of inspect-adapter --html --json.
type tuningReport struct {
	Model    string       `json:"model"`
	Adapters []string     `json:"adapters"`
	Layers   int          `json:"n_layers"`
	Heads    int          `json:"n_heads"`
	KVHeads  int          `json:"n_kv_heads"`
	Tokens   [][]int32    `json:"tokens"`
	Settings headSettings `json:"settings"`
	Base     headsSide    `json:"base"`
	Tuned    headsSide    `json:"tuned"`
	// Divergence is of the first sequence.
	Divergence []divergedPlace `json:"divergence"`
	// Attention is by layer, head and position of the prompt.
	Attention  [][][]float64     `json:"prompt_attention,omitempty"`
	Nearest    [][]nearToken     `json:"nearest,omitempty"`     // by vector of the prompt
	Lens       []lensPlace       `json:"prompt_lens,omitempty"` // at the positions of the prompt
	Directions []changeDirection `json:"directions,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`

	of    *headReport
	found *interp.Tuning
	top   int
}

// headsSide is a model without or with the adapters.
type headsSide struct {
	Scores map[string]interp.Table `json:"scores"`
	MLPs   []float64               `json:"dla_mlp"`
	Embed  float64                 `json:"dla_embed"`
	Logit  float64                 `json:"dla_logit"`
}

// divergedPlace is KL(tuned‖base) at a hook, read through the logit lens.
type divergedPlace struct {
	Hook string    `json:"hook"`
	KL   []float64 `json:"kl"` // by token of the text
}

// mean is over tokens.
func (p divergedPlace) mean() float64 {
	sum := 0.0
	for _, v := range p.KL {
		sum += v / float64(len(p.KL))
	}
	return sum
}

// last is at the last token.
func (p divergedPlace) last() float64 { return p.KL[len(p.KL)-1] }

// changeDirection is a singular direction of LoRA's change of a matrix.
type changeDirection struct {
	Module  string      `json:"module"`
	Index   int         `json:"index"`
	Size    float64     `json:"size"`
	Share   float64     `json:"share"`
	Reads   bool        `json:"reads"` // from the stream; else it writes there
	Along   []lensGuess `json:"along"`
	Against []lensGuess `json:"against"`
}

// compareTuned finds out what a set of adapters changes.
func (b *base) compareTuned(c *cli.Context, with *adapterSet, of *headReport, o interp.InspectOptions) (*tuningReport, error) {
	top := c.Int("top")
	r := &tuningReport{
		Model: of.Model, Adapters: of.Adapters, Layers: of.Layers, Heads: of.Heads, KVHeads: of.KVHeads, Tokens: of.Tokens,
		Settings: of.Settings, Warnings: of.Warnings, of: of, top: top,
	}
	o.Weights, o.Composition = false, false
	var err error
	if r.found, err = interp.CompareTuned(c.Context, b.model, of.Tokens, o, top); err != nil {
		return nil, err
	}
	r.Base, r.Tuned = sideOf(r.found.Base), sideOf(r.found.Tuned)
	r.Attention = r.found.Attention
	for _, d := range r.found.Divergence {
		r.Divergence = append(r.Divergence, divergedPlace{d.Hook, d.KL[0]})
	}
	for _, l := range r.found.Prompt {
		r.Lens = append(r.Lens, b.lensPlace(l))
	}
	return r, r.describeAdapters(c.Context, b, with)
}

func sideOf(h *interp.Heads) headsSide {
	return headsSide{h.Scores, h.Direct.MLPs, h.Direct.Embed, h.Direct.Logit}
}

// describeAdapters adds what the adapters' own values say.
func (r *tuningReport) describeAdapters(ctx context.Context, b *base, with *adapterSet) error {
	for i, m := range with.methods {
		s, err := peft.StateOf(ctx, m)
		if err != nil {
			return err
		}
		if vectors, ok := s.Prompt(); ok {
			near, err := b.nearest(ctx, vectors, r.top)
			if err != nil {
				return err
			}
			r.Nearest = append(r.Nearest, near...)
		}
		if err := r.addDirections(ctx, b, s, with.factor(i)); err != nil {
			return err
		}
	}
	return nil
}

// addDirections takes a LoRA apart; other methods have nothing to take apart.
func (r *tuningReport) addDirections(ctx context.Context, b *base, s *peft.State, factor float64) error {
	pairs, err := s.Pairs()
	if errors.Is(err, transformer.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	var changes []interp.LowRank
	var left []string
	for _, p := range pairs {
		layer, proj, ok := layerModule(b.model.Config, p.Module)
		if !ok {
			left = append(left, p.Module)
			continue
		}
		changes = append(changes, interp.LowRank{Layer: layer, Proj: proj, Rank: p.Rank(), A: p.A.Values, B: p.B.Values, Scale: factor * p.Scale})
	}
	if len(left) > 0 {
		r.Warnings = append(r.Warnings, "no directions of "+strings.Join(left, ", ")+", which are in no layer")
	}
	if len(pairs) > 0 && pairs[0].Magnitude != nil {
		r.Warnings = append(r.Warnings, "the directions are those of B·A, without DoRA's magnitudes")
	}
	found, err := interp.SingularDirections(ctx, b.model, changes, min(r.top, 3), r.top)
	for _, d := range found {
		r.Directions = append(r.Directions, changeDirection{
			Module: d.Proj.Module(d.Layer), Index: d.Index, Size: d.Size, Share: d.Share, Reads: d.Reads,
			Along: b.guesses(d.Along), Against: b.guesses(d.Against),
		})
	}
	return err
}

// layerModule finds a layer's matrix by HF's name.
func layerModule(c *transformer.Config, name string) (layer int, p transformer.Proj, ok bool) {
	for layer := range c.Layers {
		for p := range transformer.NumProj {
			if p.Module(layer) == name {
				return layer, p, true
			}
		}
	}
	return 0, 0, false
}

// inspectTuning is inspect-heads --diff.
func (p *program) inspectTuning(c *cli.Context, out *output, b *base, with *adapterSet, of *headReport, o interp.InspectOptions) error {
	r, err := b.compareTuned(c, with, of, o)
	if err != nil {
		return err
	}
	if err := r.writePage(c, b, with, nil); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(out.result, r)
	}
	return r.print(c, out)
}

// changedScores are those that are shown, of which there are both.
func (r *tuningReport) changedScores() []string {
	var names []string
	for _, s := range shownScores {
		if r.found.Changed(s.name, 1) != nil && !(s.name == interp.InductionText && r.Base.Scores[interp.Induction] != nil) {
			names = append(names, s.name)
		}
	}
	return names
}
