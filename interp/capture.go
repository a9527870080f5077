package interp

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Options says what to capture.
type Options struct {
	// Hooks are the names wanted, with the wildcards of path.Match: "*" stands for
	// any text, dots included. A pattern that matches nothing is an error.
	Hooks []string
	// Adapters are in place during the run. A soft prompt isn't put in front of the
	// tokens: see transformer.Run.Virtual.
	Adapters []transformer.Adapter
}

// Activation is one captured tensor, row-major.
type Activation struct {
	Shape  []int
	Values []float32
}

// Trace is what a forward pass left behind.
type Trace struct {
	Activations map[string]Activation // by hook name
	Logits      Activation            // [B, T, V]
}

// Capture runs sequences of equal length and returns the wanted activations and
// the logits.
func Capture(ctx context.Context, m *transformer.Model, ids [][]int32, o Options) (*Trace, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("no sequences: %w", transformer.ErrInput)
	}
	for _, s := range ids {
		if len(s) != len(ids[0]) {
			return nil, fmt.Errorf("sequences of %d and %d tokens: %w", len(ids[0]), len(s), transformer.ErrInput)
		}
	}
	want, err := wanted(m.Config, o.Hooks)
	if err != nil {
		return nil, err
	}
	rec := &recorder{want: want, copies: map[transformer.Site]*tensor.Tensor{}}
	r, err := m.NewRun(transformer.RunOptions{Batch: len(ids), Length: len(ids[0]), Patterns: wantsPatterns(want, m.Config),
		Adapters: o.Adapters, Tap: rec.tap})
	if err != nil {
		return nil, err
	}
	trace, err := rec.run(ctx, r, ids)
	return trace, errors.Join(err, rec.close(), r.Close())
}

// siteIndex numbers the sites of a model, so that a set of them is a bit set.
func siteIndex(s transformer.Site) uint {
	return uint(s.Layer*len(transformer.Points()) + int(s.Point))
}

// wanted returns the sites whose names match.
func wanted(c *transformer.Config, globs []string) (*bitset.BitSet, error) {
	set := bitset.New(uint(len(c.Layers) * len(transformer.Points())))
	for _, glob := range globs {
		before := set.Count()
		for l := range c.Layers {
			for _, p := range transformer.Points() {
				s := transformer.Site{Layer: l, Point: p}
				match, err := path.Match(glob, s.String())
				if err != nil {
					return nil, fmt.Errorf("hook pattern %q: %v: %w", glob, err, transformer.ErrInput)
				}
				if match && (p != transformer.Embed || l == 0) && present(c, p) {
					set.Set(siteIndex(s))
				}
			}
		}
		if set.Count() == before {
			return nil, fmt.Errorf("hook pattern %q matches no hook of the model: %w", glob, transformer.ErrInput)
		}
	}
	return set, nil
}

// present says whether a model has a point. The log-sum-exp exists only where the
// pattern doesn't, and AttnZ is Z but for some adapters: both aren't offered.
func present(c *transformer.Config, p transformer.Point) bool {
	switch p {
	case transformer.AttnStats, transformer.AttnZ:
		return false
	case transformer.QNorm, transformer.QNormScale, transformer.KNorm, transformer.KNormScale:
		return c.QKNorm
	case transformer.Norm1PostScale, transformer.Norm2PostScale:
		return c.PostNorms
	}
	return true
}

// wantsPatterns says whether attention must be computed in steps.
func wantsPatterns(want *bitset.BitSet, c *transformer.Config) bool {
	for l := range c.Layers {
		if want.Test(siteIndex(transformer.Site{Layer: l, Point: transformer.Scores})) ||
			want.Test(siteIndex(transformer.Site{Layer: l, Point: transformer.Pattern})) {
			return true
		}
	}
	return false
}

// recorder copies wanted activations while a run is recorded.
type recorder struct {
	want   *bitset.BitSet
	copies map[transformer.Site]*tensor.Tensor
}

func (rec *recorder) tap(p *tensor.Pass, s transformer.Site, t *tensor.Tensor) {
	if !rec.want.Test(siteIndex(s)) {
		return
	}
	dup, err := p.Backend().New(s.String(), tensor.F32, t.Shape...)
	if err != nil {
		p.Fail(err)
		return
	}
	rec.copies[s] = dup
	p.Do(tensor.Copy{Dst: dup, Src: t, Batch: 1, Rows: t.Rows()})
}

func (rec *recorder) run(ctx context.Context, r *transformer.Run, ids [][]int32) (*Trace, error) {
	m := r.Model()
	if err := r.Forward(ctx, transformer.Batch{IDs: ids}); err != nil {
		return nil, err
	}
	logits, err := r.Logits(ctx, r.Rows())
	if err != nil {
		return nil, err
	}
	batch, length := len(ids), len(ids[0])
	trace := &Trace{
		Activations: map[string]Activation{},
		Logits:      Activation{[]int{batch, length, m.Config.VocabSize}, logits},
	}
	for s, t := range rec.copies {
		values, err := tensor.Floats(ctx, m.Backend(), t)
		if err != nil {
			return nil, err
		}
		trace.Activations[s.String()] = Activation{s.Point.Shape(m.Config, batch, length, length), values}
	}
	return trace, nil
}

func (rec *recorder) close() error {
	var err error
	for _, t := range rec.copies {
		err = errors.Join(err, t.Close())
	}
	return err
}
