package interp

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// The scores of a pattern by number, as they are summed up.
const (
	previous = iota
	current
	bos
	bosArena
	duplicate
	induction
	inductionArena
	inductionText
	previousMul
	duplicateMul
	inductionMul
	previousAbs
	duplicateAbs
	inductionAbs
	entropy
	entropyNormalized
	locality
	prompt
	numScores
)

var scoreNames = [numScores]string{
	previous: Previous, current: Current, bos: BOS, bosArena: BOSArena, duplicate: Duplicate, induction: Induction,
	inductionArena: InductionArena, inductionText: InductionText, previousMul: PreviousMul, duplicateMul: DuplicateMul,
	inductionMul: InductionMul, previousAbs: PreviousAbs, duplicateAbs: DuplicateAbs, inductionAbs: InductionAbs,
	entropy: Entropy, entropyNormalized: EntropyNormalized, locality: Locality, prompt: Prompt,
}

// features are those of a query, as tensor.AttentionFeatures numbers them.
type features [tensor.NumFeatures]float64

// means collects the averages of a head's scores.
type means [numScores]struct {
	sum float64
	n   int
}

func (m *means) add(score int, v float64) {
	m[score].sum += v
	m[score].n++
}

// put hands out the scores that there are.
func (m *means) put(put func(name string, v float64)) {
	for s, mean := range m {
		if mean.n > 0 {
			put(scoreNames[s], mean.sum/float64(mean.n))
		}
	}
}

// repeats says for each token of sequences how many earlier ones are the same.
func repeats(ids [][]int32) [][]int {
	all := make([][]int, len(ids))
	for b, seq := range ids {
		seen := map[int32]int{}
		for _, id := range seq {
			all[b] = append(all[b], seen[id])
			seen[id]++
		}
	}
	return all
}

// score computes all scores of one head from the features of its queries: row(b, i) are
// those of token i of sequence b. earlier is what repeats says of the sequences, lead the
// number of keys before the text.
func score(earlier [][]int, lead int, o PatternOptions, row func(b, i int) features) *means {
	var m means
	for b, seq := range earlier {
		var marks detection
		for i, same := range seq {
			f := row(b, i)
			m.add(current, f[tensor.FeatureSelf])
			m.add(bosArena, f[tensor.FeatureSink])
			m.add(entropy, f[tensor.FeatureEntropy])
			m.add(locality, f[tensor.FeatureDistance])
			if lead > 0 {
				m.add(prompt, f[tensor.FeatureLead])
			}
			if i > 0 {
				m.add(previous, f[tensor.FeaturePrevious])
				m.add(bos, f[tensor.FeatureSink])
				m.add(entropyNormalized, f[tensor.FeatureEntropy]/math.Log(float64(lead+i+1)))
			}
			if same > 0 {
				m.add(inductionText, f[tensor.FeatureAfterSame])
			}
			o.repeats(i, &f, &m)
			marks.add(i, same, &f)
		}
		marks.scores(len(seq), &m)
	}
	return &m
}

// repeats adds what a token says about repetition.
func (o PatternOptions) repeats(i int, f *features, m *means) {
	n, first := o.Period, o.Period
	if n == 0 {
		return
	}
	if o.BOS {
		first++
	}
	if i >= first {
		m.add(duplicate, f[tensor.FeatureDuplicate])
		m.add(induction, f[tensor.FeatureInduction])
	}
	if i >= n-1 {
		m.add(inductionArena, f[tensor.FeatureInduction])
	}
}

// detection collects Σ P·D and Σ D of one sequence for TransformerLens' three patterns D:
// previous token, duplicate token, induction.
type detection struct {
	hits, marks [3]float64
}

// add takes a token of which so many earlier ones are the same.
func (d *detection) add(i, same int, f *features) {
	for n, v := range [...]float64{f[tensor.FeaturePrevious], f[tensor.FeatureSame], f[tensor.FeatureAfterSame]} {
		d.hits[n] += v
	}
	d.marks[0] += float64(min(i, 1))
	d.marks[1] += float64(same)
	d.marks[2] += float64(same)
}

// scores adds the sequence's. A pattern's weights sum to its number of tokens, and all are at
// most 1, so that Σ|P−D| is Σ D + Σ P − 2·Σ P·D.
func (d *detection) scores(tokens int, m *means) {
	t := float64(tokens)
	for n, s := range [3][2]int{{previousMul, previousAbs}, {duplicateMul, duplicateAbs}, {inductionMul, inductionAbs}} {
		m.add(s[0], d.hits[n]/t)
		m.add(s[1], 1-math.RoundToEven(1000*(d.marks[n]+t-2*d.hits[n])/t)/1000)
	}
}

// uniform gives the features of queries that look at all keys that they see alike.
func uniform(ids [][]int32, prompt, prefix, period, window int) func(b, i int) features {
	lead := prompt + prefix
	return func(b, i int) (f features) {
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
