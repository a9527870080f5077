package interp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Table holds a number for every head: [layer][head].
type Table [][]float64

func newTable(c *transformer.Config) Table {
	t := make(Table, len(c.Layers))
	for l := range t {
		t[l] = make([]float64, c.Heads)
	}
	return t
}

// The scores of attention patterns, each the mean over sequences. T are the tokens of a
// sequence, a soft prompt not counted; n is PatternOptions.Period; P[i,j] is the weight
// of query i on key j. Where a formula says no more, it is a mean over i = 0…T−1.
const (
	Previous          = "previous"           // P[i,i−1], i ≥ 1
	Current           = "current"            // P[i,i]
	BOS               = "bos"                // P[i,0], i ≥ 1
	BOSArena          = "bos_arena"          // P[i,0]
	Duplicate         = "duplicate"          // P[i,i−n] where token i repeats token i−n
	Induction         = "induction"          // P[i,i−n+1] where token i repeats token i−n
	InductionArena    = "induction_arena"    // P[i,i−n+1], i ≥ n−1, as in ARENA: two i more than strictly
	InductionText     = "induction_text"     // Σ P[i,j+1] over j < i with token j = token i, where there is such a j
	PreviousMul       = "previous_mul"       // TransformerLens' detect_head with "mul": ΣP·D/ΣP, D marking what to attend to
	DuplicateMul      = "duplicate_mul"      //
	InductionMul      = "induction_mul"      //
	PreviousAbs       = "previous_abs"       // the same with "abs": 1 − Σ|P−D|/T, which it rounds to 3 digits
	DuplicateAbs      = "duplicate_abs"      //
	InductionAbs      = "induction_abs"      //
	Entropy           = "entropy"            // −Σ_j P[i,j]·ln P[i,j], in nats
	EntropyNormalized = "entropy_normalized" // the same over the logarithm of the number of keys up to i, i ≥ 1
	Locality          = "locality"           // Σ_j P[i,j]·(i−j), the mean distance
	Prompt            = "prompt"             // Σ_j P[i,j] over the keys of a soft prompt or prefix
	PrefixMatch       = "prefix_matching"    // InductionText on other tokens: see PrefixMatching
)

// PatternOptions says what sequences are.
type PatternOptions struct {
	// Period is after how many tokens they repeat. 0: they don't, and there is neither
	// Duplicate nor Induction.
	Period int
	// BOS says that the first token stands alone, before what repeats.
	BOS      bool
	Adapters []transformer.Adapter
	Task     int // of a soft prompt
}

// PatternScores are the scores of all heads, and what each would be if the heads of a
// layer looked at all tokens that they see alike.
type PatternScores struct {
	Scores   map[string]Table
	Baseline map[string][]float64 // by layer
}

// RepeatedTokens makes sequences for the scores: bos, unless it is negative, and twice n
// random tokens of the vocabulary without those of skip.
func RepeatedTokens(c *transformer.Config, sequences, n int, bos int32, skip []int32, seed uint64) [][]int32 {
	special := map[int32]bool{bos: true}
	for _, id := range skip {
		special[id] = true
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	all := make([][]int32, sequences)
	for s := range all {
		half := make([]int32, n)
		for i := range half {
			for half[i] = rng.Int32N(int32(c.VocabSize)); special[half[i]]; {
				half[i] = rng.Int32N(int32(c.VocabSize))
			}
		}
		if bos >= 0 {
			all[s] = append(all[s], bos)
		}
		all[s] = append(append(all[s], half...), half...)
	}
	return all
}

// How often and how many tokens repeat in Olsson's test, and how long its sequences are.
const (
	prefixRepeats        = 4
	prefixPeriod         = 25
	PrefixMatchingTokens = 1 + prefixRepeats*prefixPeriod
)

// PrefixMatching is the score of Olsson et al. 2022 (arXiv 2209.11895), under which heads count
// as induction heads: on sequences of bos and 25 random tokens, four times, the attention from
// a token to those that followed the same token in earlier repeats. The result has the one
// score PrefixMatch. The options' Period and BOS don't matter; the others are RepeatedTokens'.
func PrefixMatching(ctx context.Context, m *transformer.Model, sequences int, bos int32, skip []int32, seed uint64, o PatternOptions) (*PatternScores, error) {
	ids := RepeatedTokens(m.Config, sequences, prefixPeriod, bos, skip, seed)
	for i, seq := range ids {
		period := seq[len(seq)-prefixPeriod:]
		for range prefixRepeats - 2 {
			ids[i] = append(ids[i], period...)
		}
	}
	o.Period, o.BOS = 0, false
	s, err := Patterns(ctx, m, ids, o)
	if err != nil {
		return nil, err
	}
	return &PatternScores{map[string]Table{PrefixMatch: s.Scores[InductionText]}, map[string][]float64{PrefixMatch: s.Baseline[InductionText]}}, nil
}

// Patterns computes all scores of attention patterns in one forward pass, without
// holding any pattern: a few sums for each query and head are computed beside the
// streaming attention (tensor.AttentionFeatures). A period beyond a layer's window
// can't be seen: the scores of repetition are then 0.
func Patterns(ctx context.Context, m *transformer.Model, ids [][]int32, o PatternOptions) (*PatternScores, error) {
	f, err := newFeatureTap(ctx, ids, o)
	if err != nil {
		return nil, err
	}
	err = observe(ctx, m, ids, DirectOptions{o.Adapters, o.Task}, transformer.RunOptions{HeadsOnly: true}, f)
	return f.found, err
}

// finish turns every layer's features into scores.
func (f *featureTap) finish() error {
	s := &PatternScores{Scores: map[string]Table{}, Baseline: map[string][]float64{}}
	f.found = s
	c, ids, o, earlier := f.run.Model().Config, f.text, f.o, repeats(f.text)
	length := f.prompt + len(ids[0])
	baselines := map[int]*means{} // by window
	for l, t := range f.layers {
		values, err := tensor.Floats(f.ctx, f.run.Model().Backend(), t)
		if err != nil {
			return err
		}
		for h := range c.Heads {
			score(earlier, f.lead(), o, func(b, i int) (wide features) {
				for n, v := range values[((b*length+f.prompt+i)*c.Heads+h)*tensor.NumFeatures:][:tensor.NumFeatures] {
					wide[n] = float64(v)
				}
				return wide
			}).put(func(name string, v float64) {
				if s.Scores[name] == nil {
					s.Scores[name] = newTable(c)
				}
				s.Scores[name][l][h] = v
			})
		}
		window := c.Layers[l].Window
		if baselines[window] == nil {
			baselines[window] = score(earlier, f.lead(), o, uniform(ids, f.prompt, f.prefix, f.period, window))
		}
		baselines[window].put(func(name string, v float64) {
			s.Baseline[name] = append(s.Baseline[name], v)
		})
	}
	return nil
}

// withPrompt puts a soft prompt in front of sequences.
func withPrompt(r *transformer.Run, ids [][]int32, task int) transformer.Batch {
	b := transformer.Batch{IDs: ids}
	for range ids {
		b.Tasks = append(b.Tasks, task)
	}
	return r.WithPrompt(b)
}

// featureTap computes the features of each layer's attention while a run is recorded.
type featureTap struct {
	ctx            context.Context // of the call that it lives in
	text           [][]int32
	o              PatternOptions
	run            *transformer.Run
	period         int
	prompt, prefix int // tokens, and keys, in front of the text
	ids            *tensor.Tensor
	queries        *tensor.Tensor // of the layer in work
	layers         []*tensor.Tensor
	found          *PatternScores
}

func newFeatureTap(ctx context.Context, ids [][]int32, o PatternOptions) (*featureTap, error) {
	if err := checkSequences(ids); err != nil {
		return nil, err
	}
	if o.Period < 0 || o.Period >= len(ids[0]) {
		return nil, fmt.Errorf("period %d in sequences of %d tokens: %w", o.Period, len(ids[0]), transformer.ErrInput)
	}
	return &featureTap{
		ctx: ctx, text: ids, o: o, period: max(1, o.Period), prompt: virtualTokens(o.Adapters), prefix: prefixTokens(o.Adapters),
	}, nil
}

// lead is the number of keys in front of the text.
func (f *featureTap) lead() int { return f.prefix + f.prompt }

// start writes the tokens of all keys. Those of a prefix are like no other.
func (f *featureTap) start(r *transformer.Run, batch transformer.Batch) (err error) {
	f.run = r
	var ids []int32
	for _, s := range batch.IDs {
		for j := range f.prefix {
			ids = append(ids, int32(math.MinInt32+j))
		}
		ids = append(ids, s...)
	}
	f.ids, err = tensor.FromInts(f.ctx, f.run.Model().Backend(), "ids", ids, len(ids))
	return err
}

func (f *featureTap) tap(p *tensor.Pass, s transformer.Site, t *tensor.Tensor) {
	switch s.Point {
	case transformer.RotQ:
		f.queries = t
	case transformer.AttnStats:
		h, k, segment := f.run.Attended(s.Layer)
		out, err := p.Backend().New("features", tensor.F32, h.Batch*h.Queries*h.Heads, tensor.NumFeatures)
		if err != nil {
			p.Fail(err)
			return
		}
		f.layers = append(f.layers, out)
		p.Do(tensor.AttentionFeatures{
			Out: out, Q: f.queries, K: k, Stats: t, IDs: f.ids, Segment: segment, Heads: h,
			Sink: f.lead(), Period: f.period, Lead: f.lead(),
		})
	}
}

func (f *featureTap) close() error {
	err := f.ids.Close()
	for _, t := range f.layers {
		err = errors.Join(err, t.Close())
	}
	return err
}

// prefixTokens is how many keys adapters put in front of each sequence.
func prefixTokens(adapters []transformer.Adapter) int {
	n := 0
	for _, a := range adapters {
		if x, ok := a.(interface{ PrefixTokens() int }); ok {
			n += x.PrefixTokens()
		}
	}
	return n
}
