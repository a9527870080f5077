package interp

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// mean collects an average.
type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64) { m.sum, m.n = m.sum+v, m.n+1 }

// score computes all scores of one head from the features of its queries: row(b, i) are
// those of token i of sequence b. lead is the number of keys before the text.
func score(ids [][]int32, lead int, o PatternOptions, row func(b, i int) []float64, put func(name string, v float64)) {
	means := map[string]*mean{}
	add := func(name string, v float64) {
		if means[name] == nil {
			means[name] = &mean{}
		}
		means[name].add(v)
	}
	for b, seq := range ids {
		earlier, marks := map[int32]int{}, detection{}
		for i, id := range seq {
			f := row(b, i)
			add(Current, f[tensor.FeatureSelf])
			add(BOSArena, f[tensor.FeatureSink])
			add(Entropy, f[tensor.FeatureEntropy])
			add(Locality, f[tensor.FeatureDistance])
			if lead > 0 {
				add(Prompt, f[tensor.FeatureLead])
			}
			if i > 0 {
				add(Previous, f[tensor.FeaturePrevious])
				add(BOS, f[tensor.FeatureSink])
				add(EntropyNormalized, f[tensor.FeatureEntropy]/math.Log(float64(lead+i+1)))
			}
			if earlier[id] > 0 {
				add(InductionText, f[tensor.FeatureAfterSame])
			}
			o.repeats(i, f, add)
			marks.add(i, earlier[id], f)
			earlier[id]++
		}
		marks.scores(len(seq), add)
	}
	for name, m := range means {
		put(name, m.sum/float64(m.n))
	}
}

// repeats adds what a token says about repetition.
func (o PatternOptions) repeats(i int, f []float64, add func(string, float64)) {
	n, first := o.Period, o.Period
	if n == 0 {
		return
	}
	if o.BOS {
		first++
	}
	if i >= first {
		add(Duplicate, f[tensor.FeatureDuplicate])
		add(Induction, f[tensor.FeatureInduction])
	}
	if i >= n-1 {
		add(InductionArena, f[tensor.FeatureInduction])
	}
}

// detection collects Σ P·D and Σ D of one sequence for TransformerLens' three patterns D:
// previous token, duplicate token, induction.
type detection struct {
	hits, marks [3]float64
}

// add takes a token of which so many earlier ones are the same.
func (d *detection) add(i, same int, f []float64) {
	for n, v := range []float64{f[tensor.FeaturePrevious], f[tensor.FeatureSame], f[tensor.FeatureAfterSame]} {
		d.hits[n] += v
	}
	d.marks[0] += float64(min(i, 1))
	d.marks[1] += float64(same)
	d.marks[2] += float64(same)
}

// scores adds the sequence's. A pattern's weights sum to its number of tokens, and all are at
// most 1, so that Σ|P−D| is Σ D + Σ P − 2·Σ P·D.
func (d *detection) scores(tokens int, add func(string, float64)) {
	t := float64(tokens)
	for n, names := range [3][2]string{{PreviousMul, PreviousAbs}, {DuplicateMul, DuplicateAbs}, {InductionMul, InductionAbs}} {
		add(names[0], d.hits[n]/t)
		add(names[1], 1-math.RoundToEven(1000*(d.marks[n]+t-2*d.hits[n])/t)/1000)
	}
}

// uniform gives the features of queries that look at all keys that they see alike.
func uniform(ids [][]int32, prompt, prefix, period, window int) func(b, i int) []float64 {
	lead := prompt + prefix
	return func(b, i int) []float64 {
		f := make([]float64, tensor.NumFeatures)
		own := lead + i
		sees := func(j int) bool { return j >= 0 && j <= own && (j < prefix || window == 0 || own-j < window) }
		var keys []int
		for j := range own + 1 {
			if sees(j) {
				keys = append(keys, j)
			}
		}
		p := 1 / float64(len(keys))
		for n, j := range map[int]int{
			tensor.FeatureSink: lead, tensor.FeatureSelf: own, tensor.FeaturePrevious: own - 1,
			tensor.FeatureDuplicate: own - period, tensor.FeatureInduction: own - period + 1,
		} {
			if sees(j) {
				f[n] = p
			}
		}
		f[tensor.FeatureEntropy] = -math.Log(p)
		for _, j := range keys {
			f[tensor.FeatureDistance] += p * float64(own-j)
			if j < lead {
				f[tensor.FeatureLead] += p
				continue
			}
			if j < own && ids[b][j-lead] == ids[b][i] {
				f[tensor.FeatureSame] += p
			}
			if j > lead && ids[b][j-lead-1] == ids[b][i] {
				f[tensor.FeatureAfterSame] += p
			}
		}
		return f
	}
}
