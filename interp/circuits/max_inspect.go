package circuits

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gpupeft/gpupeft/interp"
	"github.com/gpupeft/gpupeft/transformer"
)

// MaxReport is what Max.Inspect finds.
type MaxReport struct {
	Example Max `json:"example"` // with defaults filled in
	// Accuracy and Loss are those of Example.Tests fresh lists; Ablated is the accuracy
	// without the head.
	Accuracy float64 `json:"accuracy"`
	Loss     float64 `json:"loss"`
	Ablated  float64 `json:"accuracy_without_head"`
	Gaps     []Gap   `json:"accuracy_by_gap"`
	// AttentionOnMax is the mean attention that the last place pays to all places of the
	// largest number, TopIsMax the share of lists where most of it goes to one of them.
	AttentionOnMax float64 `json:"attention_on_max"`
	TopIsMax       float64 `json:"top_attended_is_max"`
	// Singular are the singular values of the QK circuit, the largest first, Rank1 is how
	// many times the first is the second.
	Singular []float64 `json:"qk_singular_values"`
	Rank1    float64   `json:"qk_rank1_ratio"`
	// Slope is by how much the QK circuit's score grows with the key, a number, the mean
	// over query tokens; Order is the rank correlation of score and key (Spearman's), the
	// mean, and LeastOrder the lowest of a query token.
	Slope      float64 `json:"qk_slope"`
	Order      float64 `json:"qk_rank_correlation"`
	LeastOrder float64 `json:"qk_rank_correlation_min"`
	// Copying is interp.Copying of the head, Diagonal the share of tokens whose own logit the OV
	// circuit raises most, and Untrained those of which it is another's.
	Copying   float64 `json:"ov_copying"`
	Diagonal  float64 `json:"ov_diagonal"`
	Untrained []int32 `json:"ov_not_copied"`
	// How far the values of a row of each table are apart, the mean over rows: how much the
	// table can matter.
	QKRange       float64 `json:"qk_range"`
	PositionRange float64 `json:"qk_position_range"`
	OVRange       float64 `json:"ov_range"`
	DirectRange   float64 `json:"direct_range"`
	// The tables, see interp.Circuits.
	QK       [][]float32 `json:"qk"`
	Position [][]float32 `json:"qk_position"`
	OV       [][]float32 `json:"ov"`
	Direct   [][]float32 `json:"direct"`
	// Samples are some lists with the last place's attention and the guess.
	Samples []MaxSample `json:"samples"`
}

// Gap is the accuracy on lists by how far the second largest number is below the largest; 0 if
// that is there twice. The last entry is of all larger ones.
type Gap struct {
	Gap      int     `json:"gap"`
	Lists    int     `json:"lists"`
	Accuracy float64 `json:"accuracy"`
}

// MaxSample is one list.
type MaxSample struct {
	List    []int32   `json:"list"`
	Guess   int32     `json:"guess"`
	Pattern []float32 `json:"pattern"` // of all places, [K, K]
}

// Inspect takes a trained toy apart. Errors wrap transformer.ErrInput if it isn't one for lists of
// these sizes.
func (m Max) Inspect(ctx context.Context, model *transformer.Model) (*MaxReport, error) {
	m = m.withDefaults()
	if err := m.check(); err != nil {
		return nil, err
	}
	if c := model.Config; len(c.Layers) != 1 || c.Heads != 1 || c.VocabSize != m.Vocab || c.MaxPositions < m.Numbers || !c.LearnedPositions {
		return nil, fmt.Errorf("a model of %d layers of %d heads, vocabulary %d, %d positions, for %d numbers below %d: %w",
			len(c.Layers), c.Heads, c.VocabSize, c.MaxPositions, m.Numbers, m.Vocab, transformer.ErrInput)
	}
	r := &MaxReport{Example: m}
	for _, look := range []func(context.Context, *transformer.Model) error{r.measure, r.ablate, r.watch, r.readCircuits} {
		if err := look(ctx, model); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// chunk is how many lists are run together.
const chunk = 2000

// answers runs n fresh lists and calls f with each list, its place among them, and the last
// place's logits.
func (r *MaxReport) answers(ctx context.Context, model *transformer.Model, n int, o interp.Options, f func(i int, list []int32, logits []float32, t *interp.Trace)) error {
	rng := rand.New(rand.NewPCG(r.Example.Seed, 2)) // lists that training hasn't drawn
	for lo := 0; lo < n; lo += chunk {
		lists := r.Example.lists(rng, min(chunk, n-lo)).IDs
		o.Positions = interp.Of(uint(r.Example.Numbers - 1))
		t, err := interp.Capture(ctx, model, lists, o)
		if err != nil {
			return err
		}
		for i, list := range lists {
			f(i, list, t.Logits.Values[i*r.Example.Vocab:][:r.Example.Vocab], t)
		}
	}
	return nil
}

// top is the most likely token.
func top(logits []float32) int32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return int32(best)
}

// maxGaps is how many gaps have an entry of their own.
const maxGaps = 5

// measure finds out how often the toy is right.
func (r *MaxReport) measure(ctx context.Context, model *transformer.Model) error {
	right, gaps := 0, make([]Gap, maxGaps)
	err := r.answers(ctx, model, r.Example.Tests, interp.Options{}, func(_ int, list []int32, logits []float32, _ *interp.Trace) {
		sorted := slices.Sorted(slices.Values(list))
		want := sorted[len(sorted)-1]
		g := &gaps[min(maxGaps-1, int(want-sorted[len(sorted)-2]))]
		g.Lists++
		if top(logits) == want {
			right++
			g.Accuracy++
		}
		r.Loss -= interp.LogProb(logits, want) / float64(r.Example.Tests)
	})
	r.Accuracy = float64(right) / float64(r.Example.Tests)
	for i, g := range gaps {
		if g.Gap = i; g.Lists > 0 {
			g.Accuracy /= float64(g.Lists)
			r.Gaps = append(r.Gaps, g)
		}
	}
	return err
}

// ablate finds out how often it is right without its head.
func (r *MaxReport) ablate(ctx context.Context, model *transformer.Model) error {
	right := 0
	o := interp.Options{Edits: []interp.Edit{{Hook: "blocks.0.attn.hook_z", Change: interp.Zero()}}}
	err := r.answers(ctx, model, r.Example.Tests, o, func(_ int, list []int32, logits []float32, _ *interp.Trace) {
		if top(logits) == slices.Max(list) {
			right++
		}
	})
	r.Ablated = float64(right) / float64(r.Example.Tests)
	return err
}

// maxSamples is how many lists a report shows.
const maxSamples = 8

// watch looks at what the last place attends to.
func (r *MaxReport) watch(ctx context.Context, model *transformer.Model) error {
	const hook = "blocks.0.attn.hook_pattern"
	k := r.Example.Numbers
	n := min(r.Example.Tests, 5*chunk)
	o := interp.Options{Hooks: []string{hook}}
	err := r.answers(ctx, model, n, o, func(i int, list []int32, logits []float32, t *interp.Trace) {
		row := t.Activations[hook].Values[i*k:][:k]
		largest, most := slices.Max(list), 0
		for j, weight := range row {
			if list[j] == largest {
				r.AttentionOnMax += float64(weight) / float64(n)
			}
			if weight > row[most] {
				most = j
			}
		}
		if list[most] == largest {
			r.TopIsMax += 1 / float64(n)
		}
		if len(r.Samples) < maxSamples {
			r.Samples = append(r.Samples, MaxSample{List: list, Guess: top(logits)})
		}
	})
	if err != nil {
		return err
	}
	var lists [][]int32
	for _, s := range r.Samples {
		lists = append(lists, s.List)
	}
	t, err := interp.Capture(ctx, model, lists, interp.Options{Hooks: []string{hook}})
	if err != nil {
		return err
	}
	for i := range r.Samples {
		r.Samples[i].Pattern = t.Activations[hook].Values[i*k*k:][:k*k]
	}
	return nil
}

// readCircuits reads the head's tables.
func (r *MaxReport) readCircuits(ctx context.Context, model *transformer.Model) error {
	c, err := interp.FullCircuits(ctx, model, 0, 0, r.Example.Numbers-1)
	if err != nil {
		return err
	}
	r.QK, r.Position, r.OV, r.Direct = c.QK, c.Position, c.OV, c.Direct
	r.QKRange, r.PositionRange, r.OVRange, r.DirectRange = meanRange(c.QK), meanRange(c.Position), meanRange(c.OV), meanRange(c.Direct)
	if r.Singular, err = interp.SingularValues(c.QK); err != nil {
		return err
	}
	r.Rank1 = r.Singular[0] / r.Singular[1]
	r.LeastOrder = 1
	for _, row := range c.QK {
		slope, order := growth(row)
		r.Slope += slope / float64(len(c.QK))
		r.Order += order / float64(len(c.QK))
		r.LeastOrder = min(r.LeastOrder, order)
	}
	for token, row := range c.OV {
		if top(row) != int32(token) {
			r.Untrained = append(r.Untrained, int32(token))
		}
	}
	r.Diagonal = diagonal(c.OV)
	copying, err := interp.Copying(ctx, model)
	if err != nil {
		return err
	}
	r.Copying = copying[0][0]
	return nil
}

// meanRange is how far the values of a row are apart, the mean over rows.
func meanRange(rows [][]float32) float64 {
	sum := 0.0
	for _, row := range rows {
		sum += float64(slices.Max(row)-slices.Min(row)) / float64(len(rows))
	}
	return sum
}

// growth is how values grow with their place: the slope of the line through them (least
// squares), and the rank correlation.
func growth(values []float32) (slope, order float64) {
	places := make([]int, len(values)) // in the order of values
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	n, middle := float64(len(values)), float64(len(values)-1)/2
	spread := n * (n*n - 1) / 12 // Σ (i − middle)²
	for i, v := range values {
		slope += (float64(i) - middle) * float64(v) / spread
	}
	for rank, place := range places {
		order += (float64(rank) - middle) * (float64(place) - middle) / spread
	}
	return slope, order
}
