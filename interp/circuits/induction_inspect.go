package circuits

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/transformer"
)

// InductionReport is what Induction.Inspect finds. Tables are by layer and head.
type InductionReport struct {
	Example Induction `json:"example"` // with defaults filled in
	// Accuracy is that of second rounds in fresh sequences, WithoutHead the same without each
	// head, the others without all of PreviousHeads, of InductionHeads, or of the first layer.
	Accuracy         float64      `json:"accuracy"`
	WithoutHead      interp.Table `json:"accuracy_without_head"`
	WithoutPrevious  float64      `json:"accuracy_without_previous_token_heads"`
	WithoutInduction float64      `json:"accuracy_without_induction_heads"`
	WithoutFirst     float64      `json:"accuracy_without_first_layer"`
	// Previous, Induction and Copying are scores of each head (interp.Previous, InductionText and
	// Copying), the first two with what a head has that looks at all tokens alike.
	Previous          interp.Table `json:"previous"`
	PreviousBaseline  float64      `json:"previous_baseline"`
	Induction         interp.Table `json:"induction"`
	InductionBaseline float64      `json:"induction_baseline"`
	Copying           interp.Table `json:"copying"`
	// Composition is the K-composition of each head of the first layer with each of the second,
	// and CompositionBaseline what random matrices have.
	Composition         interp.Table `json:"k_composition"` // [head][later head]
	CompositionBaseline float64      `json:"k_composition_baseline"`
	// Earlier and Later are the two heads that compose most.
	Earlier interp.HeadAt `json:"earlier"`
	Later   interp.HeadAt `json:"later"`
	// PreviousHeads are the heads of the first layer whose score is at least headThreshold,
	// InductionHeads those of the second.
	PreviousHeads  []interp.HeadAt `json:"previous_token_heads"`
	InductionHeads []interp.HeadAt `json:"induction_heads"`
	// Match is their KeyCircuit, and Matching the share of query tokens that find themselves
	// there first.
	Match    [][]float32 `json:"match"`
	Matching float64     `json:"match_diagonal"`
	// OV is the later head's.
	OV       [][]float32 `json:"ov"`
	Diagonal float64     `json:"ov_diagonal"`
	// Sample is a sequence, with the patterns of all heads of each layer: [heads, T, T].
	Sample   []int32     `json:"sample"`
	Patterns [][]float32 `json:"patterns"`
}

// Inspect takes a trained toy apart. Errors wrap transformer.ErrInput if it isn't one for
// sequences of these sizes.
func (n Induction) Inspect(ctx context.Context, model *transformer.Model) (*InductionReport, error) {
	n = n.withDefaults()
	if err := n.check(); err != nil {
		return nil, err
	}
	if c := model.Config; len(c.Layers) != 2 || c.VocabSize < n.Vocab || c.MaxPositions < n.Length {
		return nil, fmt.Errorf("a model of %d layers, vocabulary %d, %d positions, for %d tokens out of %d: %w",
			len(c.Layers), c.VocabSize, c.MaxPositions, n.Length, n.Vocab, transformer.ErrInput)
	}
	r := &InductionReport{Example: n}
	for _, look := range []func(context.Context, *transformer.Model) error{r.scores, r.compose, r.measure, r.sample} {
		if err := look(ctx, model); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// sequences are those that the toy is tried on, a few at a time.
func (r *InductionReport) sequences(f func(b transformer.Batch) error) error {
	rng := rand.New(rand.NewPCG(r.Example.Seed, 2))
	for lo := 0; lo < r.Example.Tests; lo += 250 {
		if err := f(r.Example.rounds(rng, min(250, r.Example.Tests-lo))); err != nil {
			return err
		}
	}
	return nil
}

// without silences heads.
func without(heads ...interp.HeadAt) []interp.Edit {
	var edits []interp.Edit
	for _, h := range heads {
		hook := transformer.Site{Layer: h.Layer, Point: transformer.Z}.String()
		edits = append(edits, interp.Edit{Hook: hook, Heads: interp.Of(uint(h.Head)), Change: interp.Zero()})
	}
	return edits
}

// measure finds out how often the toy is right, with all heads, without some, and without each.
func (r *InductionReport) measure(ctx context.Context, model *transformer.Model) error {
	first := []interp.Edit{{Hook: transformer.Site{Layer: 0, Point: transformer.Z}.String(), Change: interp.Zero()}}
	edits := [][]interp.Edit{nil, without(r.PreviousHeads...), without(r.InductionHeads...), first}
	single := len(edits)
	for l := range model.Config.Layers {
		for h := range model.Config.Heads {
			edits = append(edits, without(interp.HeadAt{Layer: l, Head: h}))
		}
	}
	right, targets := make([]float64, len(edits)), 0
	err := r.sequences(func(b transformer.Batch) error {
		targets += b.Targets()
		values, err := interp.Sweep(ctx, model, b.IDs, rightAnswers(b), edits, interp.Options{})
		for i, v := range values {
			right[i] += v
		}
		return err
	})
	if err != nil {
		return err
	}
	for i := range right {
		right[i] /= float64(targets)
	}
	r.Accuracy, r.WithoutPrevious, r.WithoutInduction, r.WithoutFirst = right[0], right[1], right[2], right[3]
	for l := range model.Config.Layers {
		r.WithoutHead = append(r.WithoutHead, right[single+l*model.Config.Heads:][:model.Config.Heads])
	}
	return nil
}

// rightAnswers counts the labels that are the most likely tokens.
func rightAnswers(b transformer.Batch) interp.Metric {
	return func(logits interp.Activation) (float64, []float32, error) {
		n, length, vocab := 0.0, logits.Shape[1], logits.Shape[2]
		for s, labels := range b.Labels {
			for t, want := range labels {
				if want != transformer.Masked && top(logits.Values[(s*length+t-1)*vocab:][:vocab]) == want {
					n++
				}
			}
		}
		return n, nil, nil
	}
}

// scoredSequences is how many sequences patterns are scored on.
const scoredSequences = 64

// headThreshold is the score from which a head is called one of a kind, as in ARENA.
const headThreshold = 0.4

// kind lists the heads of a layer that are of a kind.
func kind(scores interp.Table, layer int) []interp.HeadAt {
	var heads []interp.HeadAt
	for h, v := range scores[layer] {
		if v >= headThreshold {
			heads = append(heads, interp.HeadAt{Layer: layer, Head: h})
		}
	}
	return heads
}

// scores finds out what each head does.
func (r *InductionReport) scores(ctx context.Context, model *transformer.Model) error {
	b := r.Example.rounds(rand.New(rand.NewPCG(r.Example.Seed, 3)), scoredSequences)
	p, err := interp.Patterns(ctx, model, b.IDs, interp.PatternOptions{})
	if err != nil {
		return err
	}
	r.Previous, r.PreviousBaseline = p.Scores[interp.Previous], p.Baseline[interp.Previous][0]
	r.Induction, r.InductionBaseline = p.Scores[interp.InductionText], p.Baseline[interp.InductionText][0]
	r.PreviousHeads, r.InductionHeads = kind(r.Previous, 0), kind(r.Induction, 1)
	r.Copying, err = interp.Copying(ctx, model)
	return err
}

// compose finds the two heads that work together, by their weights alone, and their circuits.
func (r *InductionReport) compose(ctx context.Context, model *transformer.Model) error {
	c, err := interp.Composition(ctx, model)
	if err != nil {
		return err
	}
	r.CompositionBaseline = c.Baseline
	most := -1.0
	for a, later := range c.K[0] {
		r.Composition = append(r.Composition, later[1])
		for b, v := range later[1] {
			if v > most {
				most, r.Earlier, r.Later = v, interp.HeadAt{Layer: 0, Head: a}, interp.HeadAt{Layer: 1, Head: b}
			}
		}
	}
	last := r.Example.Length - 1
	if r.Match, err = interp.KeyCircuit(ctx, model, r.Earlier, r.Later, last); err != nil {
		return err
	}
	full, err := interp.FullCircuits(ctx, model, r.Later.Layer, r.Later.Head, last)
	if err != nil {
		return err
	}
	r.OV, r.Matching, r.Diagonal = full.OV, diagonal(r.Match), diagonal(full.OV)
	return nil
}

// diagonal is the share of rows whose largest value is on the diagonal.
func diagonal(rows [][]float32) float64 {
	n := 0
	for i, row := range rows {
		if int(top(row)) == i {
			n++
		}
	}
	return float64(n) / float64(len(rows))
}

// sample keeps the patterns of one sequence.
func (r *InductionReport) sample(ctx context.Context, model *transformer.Model) error {
	r.Sample = r.Example.rounds(rand.New(rand.NewPCG(r.Example.Seed, 4)), 1).IDs[0]
	t, err := interp.Capture(ctx, model, [][]int32{r.Sample}, interp.Options{Hooks: []string{"*.hook_pattern"}})
	if err != nil {
		return err
	}
	for l := range model.Config.Layers {
		r.Patterns = append(r.Patterns, t.Activations[transformer.Site{Layer: l, Point: transformer.Pattern}.String()].Values)
	}
	return nil
}
