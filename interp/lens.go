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

// Lens is what the stream would say at one place in the model, if the last norm and the
// output matrix read it there (logit lens, nostalgebraist 2020).
type Lens struct {
	Hook string
	// Top are the most likely tokens, by sequence and kept position.
	Top [][][]Guess
	// KL is how far the distribution is from that at the end, in nats, by sequence and
	// position.
	KL [][]float64
	// Next is the logarithm of the probability of the token that does come next, by sequence
	// and position; NaN where none does, or one of a soft prompt.
	Next [][]float64
}

// Guess is a token with the logarithm of its probability.
type Guess struct {
	Token   int32
	LogProb float64
}

// LogitLens reads the stream before every layer, and behind the last, at the positions
// of o, and returns the top guesses of each.
func LogitLens(ctx context.Context, m *transformer.Model, ids [][]int32, top int, o Options) ([]Lens, error) {
	return logitLens(ctx, m, ids, top, o, func(_ string, x []float32) []float32 { return x })
}

// logitLens reads what translate makes of the stream.
func logitLens(ctx context.Context, m *transformer.Model, ids [][]int32, top int, o Options, translate func(hook string, x []float32) []float32) ([]Lens, error) {
	hooks := streamHooks(m.Config)
	o.Hooks, o.Metric, o.StopAtLayer = hooks, nil, 0
	trace, err := Capture(ctx, m, ids, o)
	if err != nil {
		return nil, err
	}
	rows := trace.Logits.Shape[0] * trace.Logits.Shape[1]
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: max(1, rows), Adapters: o.Adapters})
	if err != nil {
		return nil, err
	}
	next := followers(trace.Tokens, o.Positions)
	var all []Lens
	for _, hook := range hooks {
		logits, err := r.LogitsOf(ctx, translate(hook, trace.Activations[hook].Values))
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		all = append(all, readLens(hook, logits, trace.Logits, next, top))
	}
	return all, r.Close()
}

// followers are the tokens behind those at some positions, −1 where there is none.
func followers(tokens [][]int32, positions *bitset.BitSet) []int32 {
	var next []int32
	for _, seq := range tokens {
		for t := range seq {
			switch {
			case !has(positions, t):
			case t+1 < len(seq):
				next = append(next, max(-1, seq[t+1]))
			default:
				next = append(next, -1)
			}
		}
	}
	return next
}

// readLens compares logits with the final ones, and with the tokens that come next.
func readLens(hook string, logits []float32, final Activation, next []int32, top int) Lens {
	batch, length, vocab := final.Shape[0], final.Shape[1], final.Shape[2]
	lens := Lens{hook, make([][][]Guess, batch), make([][]float64, batch), make([][]float64, batch)}
	for row := range batch * length {
		s, now, end := row/length, logits[row*vocab:][:vocab], final.Values[row*vocab:][:vocab]
		lens.Top[s] = append(lens.Top[s], guesses(now, top))
		lens.KL[s] = append(lens.KL[s], divergence(end, now))
		log := math.NaN()
		if next[row] >= 0 {
			log = LogProb(now, next[row])
		}
		lens.Next[s] = append(lens.Next[s], log)
	}
	return lens
}

// guesses are the most likely tokens.
func guesses(logits []float32, top int) []Guess {
	lse := logSumExp(logits)
	all := make([]Guess, len(logits))
	for id, x := range logits {
		all[id] = Guess{int32(id), float64(x) - lse}
	}
	slices.SortStableFunc(all, func(a, b Guess) int { return cmp.Compare(b.LogProb, a.LogProb) })
	return all[:min(max(top, 0), len(all))]
}

// divergence is KL(p‖q) = Σ p·ln(p/q) of two distributions given by their logits.
func divergence(p, q []float32) float64 {
	lp, lq, sum := logSumExp(p), logSumExp(q), 0.0
	for i, x := range p {
		log := float64(x) - lp
		sum += math.Exp(log) * (log - (float64(q[i]) - lq))
	}
	return max(0, sum)
}
