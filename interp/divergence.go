package interp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gpupeft/gpupeft/transformer"
)

// Divergence is how far what the stream would say in one run is from what it would say in
// another, at one place in the model.
type Divergence struct {
	Hook string
	KL   [][]float64 // in nats, by sequence and token
}

// lensRows is how many tokens' logits are held at a time.
const lensRows = 32

// LensDivergence compares two runs of the same sequences, such as without and with adapters,
// by what the stream would say before every layer and behind the last (see LogitLens): KL(to‖from)
// of the distributions over the vocabulary at every token of the text. Soft prompts aren't
// compared. Each run's last norm and output matrix are its own.
func LensDivergence(ctx context.Context, m *transformer.Model, ids [][]int32, from, to Options) ([]Divergence, error) {
	if err := checkSequences(ids); err != nil {
		return nil, err
	}
	hooks := streamHooks(m.Config)
	all := make([]Divergence, len(hooks))
	for i, hook := range hooks {
		all[i] = Divergence{hook, make([][]float64, len(ids))}
	}
	readers := [2]*transformer.Run{}
	var err error
	for i, o := range []Options{from, to} {
		if readers[i], err = m.NewRun(transformer.RunOptions{Batch: 1, Length: lensRows, Adapters: o.Adapters}); err != nil {
			break
		}
	}
	for s := 0; s < len(ids) && err == nil; s++ {
		err = compareStreams(ctx, m, ids[s], [2]Options{from, to}, readers, func(i int, kl []float64) { all[i].KL[s] = kl })
	}
	for _, r := range readers {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// streamHooks are the stream before every layer, and behind the last.
func streamHooks(c *transformer.Config) []string {
	var hooks []string
	for l := range c.Layers {
		hooks = append(hooks, transformer.Site{Layer: l, Point: transformer.ResidPre}.String())
	}
	return append(hooks, transformer.Site{Layer: len(c.Layers) - 1, Point: transformer.ResidPost}.String())
}

// captureStreams returns the stream at all of streamHooks, for the tokens of a text.
func captureStreams(ctx context.Context, m *transformer.Model, ids []int32, o Options) (map[string]Activation, error) {
	o.Hooks, o.Metric, o.Positions, o.StopAtLayer, o.noLogits = streamHooks(m.Config), nil, textPositions(o.Adapters, len(ids)), 0, true
	trace, err := Capture(ctx, m, [][]int32{ids}, o)
	if err != nil {
		return nil, err
	}
	return trace.Activations, nil
}

// compareStreams gives put the divergence of each place.
func compareStreams(ctx context.Context, m *transformer.Model, ids []int32, runs [2]Options, readers [2]*transformer.Run, put func(place int, kl []float64)) error {
	var streams [2]map[string]Activation
	for i, o := range runs {
		var err error
		if streams[i], err = captureStreams(ctx, m, ids, o); err != nil {
			return err
		}
	}
	width := m.Config.Hidden
	for place, hook := range streamHooks(m.Config) {
		var kl []float64
		for rows := range slices.Chunk(span(0, len(ids)), lensRows) {
			var logits [2][]float32
			for i, r := range readers {
				var err error
				part := streams[i][hook].Values[int(rows[0])*width:][:len(rows)*width]
				if logits[i], err = r.LogitsOf(ctx, part); err != nil {
					return fmt.Errorf("%s: %w", hook, err)
				}
			}
			vocab := m.Config.VocabSize
			for i := range rows {
				kl = append(kl, divergence(logits[1][i*vocab:][:vocab], logits[0][i*vocab:][:vocab]))
			}
		}
		put(place, kl)
	}
	return nil
}
