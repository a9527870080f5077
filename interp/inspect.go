package interp

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/transformer"
)

// Scores of heads beside those of their patterns.
const (
	CopyingScore         = "copying"          // Copying
	CopyingResidualScore = "copying_residual" // CopyingResidual
	DirectScore          = "dla"              // Direct
	AblationScore        = "ablation"         // Ablation
	AttributionScore     = "attribution"      // AttributionPatch
)

// InspectOptions says what to find out about heads.
type InspectOptions struct {
	PatternOptions
	// Metric is what ablation and attribution are about; nil: the loss of the sequences.
	Metric Metric
	// Terms are the logits to attribute; nil: those of the next tokens.
	Terms []Term
	// Weights adds the scores of weights, Composition that of pairs of heads, which for
	// all pairs of a large model is much work.
	Weights, Composition bool
	// Ablate adds a run for every head.
	Ablate bool
	// Corrupted, if there are any, are sequences for AttributionPatch; Metric says of what.
	Corrupted [][]int32
}

// Heads is what there is to know about the heads of a model.
type Heads struct {
	Scores      map[string]Table
	Baseline    map[string][]float64 // by layer, where a score has one
	Direct      *Attribution
	Composition *Compositions // nil unless asked for
}

// InspectHeads computes the scores of all heads.
func InspectHeads(ctx context.Context, m *transformer.Model, ids [][]int32, o InspectOptions) (*Heads, error) {
	metric, terms := o.Metric, o.Terms
	if metric == nil {
		metric = Loss(ids)
	}
	if terms == nil {
		terms = NextTokens(ids)
	}
	h, err := observeHeads(ctx, m, ids, terms, o.PatternOptions)
	if err != nil {
		return nil, err
	}
	run := Options{Adapters: o.Adapters, Task: o.Task}
	for _, s := range []struct {
		name   string
		wanted bool
		table  func() (Table, error)
	}{
		{CopyingScore, o.Weights, func() (Table, error) { return Copying(ctx, m) }},
		{CopyingResidualScore, o.Weights, func() (Table, error) { return CopyingResidual(ctx, m) }},
		{AblationScore, o.Ablate, func() (Table, error) { return Ablation(ctx, m, ids, metric, Zero(), run) }},
		{AttributionScore, o.Corrupted != nil, func() (Table, error) { return AttributionPatch(ctx, m, ids, o.Corrupted, metric, run) }},
	} {
		if !s.wanted {
			continue
		}
		if h.Scores[s.name], err = s.table(); err != nil {
			return nil, err
		}
	}
	if o.Composition {
		h.Composition, err = Composition(ctx, m)
	}
	return h, err
}

// observeHeads computes what can be seen in one run: the scores of patterns, and the direct
// path, which adapters on it keep apart.
func observeHeads(ctx context.Context, m *transformer.Model, ids [][]int32, terms []Term, o PatternOptions) (*Heads, error) {
	with := DirectOptions{o.Adapters, o.Task}
	f, err := newFeatureTap(ctx, ids, o)
	if err != nil {
		return nil, err
	}
	d, err := newDirectPath(ctx, m, ids, terms, with)
	if err != nil {
		return nil, err
	}
	err = observe(ctx, m, ids, with, transformer.RunOptions{StreamOnly: true}, f, d)
	patterns, direct := f.found, d.found
	if errors.Is(err, errIndirect) {
		if patterns, err = Patterns(ctx, m, ids, o); err == nil {
			direct, err = Direct(ctx, m, ids, terms, with)
		}
	}
	if err != nil {
		return nil, err
	}
	h := &Heads{Scores: patterns.Scores, Baseline: patterns.Baseline, Direct: direct}
	h.Scores[DirectScore] = direct.Heads
	return h, nil
}

// Ranked is a head with a score.
type Ranked struct {
	Layer, Head     int
	Score, Baseline float64
}

// Top returns the n heads, among those of some layers and with some numbers, that are
// highest above the baseline in a score; of AblationScore and AttributionScore, those of the
// largest effect, whatever its sign. nil is the set of all.
func (h *Heads) Top(name string, n int, layers, among *bitset.BitSet) []Ranked {
	var all []Ranked
	for l, heads := range h.Scores[name] {
		for head, v := range heads {
			if !has(layers, l) || !has(among, head) {
				continue
			}
			r := Ranked{Layer: l, Head: head, Score: v}
			if b := h.Baseline[name]; b != nil {
				r.Baseline = b[l]
			}
			all = append(all, r)
		}
	}
	rank := func(r Ranked) float64 { return r.Score - r.Baseline }
	if name == AblationScore || name == AttributionScore {
		rank = func(r Ranked) float64 { return math.Abs(r.Score) }
	}
	slices.SortStableFunc(all, func(a, b Ranked) int { return cmp.Compare(rank(b), rank(a)) })
	return all[:min(n, len(all))]
}

// Trace returns all scores as tensors, to be written to a file: each by its name [layers,
// heads], and "composition.q", "k" and "v" [layers, heads, layers, heads].
func (h *Heads) Trace() *Trace {
	t := &Trace{Activations: map[string]Activation{}}
	for name, table := range h.Scores {
		t.Activations[name] = flat(Activation{}, table)
	}
	if c := h.Composition; c != nil {
		for name, pairs := range map[string][][][][]float64{"q": c.Q, "k": c.K, "v": c.V} {
			var a Activation
			for _, heads := range pairs {
				for _, table := range heads {
					a = flat(a, table)
				}
			}
			a.Shape = append([]int{len(pairs), len(pairs[0])}, a.Shape...)
			t.Activations["composition."+name] = a
		}
	}
	return t
}

// flat appends a table's numbers.
func flat(a Activation, t Table) Activation {
	a.Shape = []int{len(t), len(t[0])}
	for _, heads := range t {
		for _, v := range heads {
			a.Values = append(a.Values, float32(v))
		}
	}
	return a
}
