package interp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// maxPending is how much memory of the backend copies may take before they are read.
const maxPending = 64 << 20

// a session is one run with hooks.
type session struct {
	ctx    context.Context // of the call that the session lives in
	model  *transformer.Model
	run    *transformer.Run
	o      Options
	batch  int
	tokens []int // positions of a sequence: all, and those that logits are for
	kept   []int
	want   *bitset.BitSet
	edits  map[transformer.Site][]*applied
	quiet  bool // logits are computed again: nothing is captured
	put    sink
	copies []pending
	bytes  int64
	lends  bool      // put is done with values when it returns
	lent   []float32 // the last of them
}

// applied is an edit of one site, as the backend has it.
type applied struct {
	Edit
	factor, shift *tensor.Tensor
}

// pending is a copy that hasn't been read yet.
type pending struct {
	captured
	copy *tensor.Tensor
}

// captured names what is captured: an activation or its gradient.
type captured struct {
	site transformer.Site
	grad bool
}

// name is that in files.
func (c captured) name() string {
	if c.grad {
		return c.site.String() + gradSuffix
	}
	return c.site.String()
}

// a sink takes what has been captured, and keeps it if it likes.
type sink func(c captured, a Activation) error

func newSession(ctx context.Context, m *transformer.Model, ids [][]int32, o Options) (*session, error) {
	if err := checkSequences(ids); err != nil {
		return nil, err
	}
	s := &session{ctx: ctx, model: m, o: o, batch: len(ids), edits: map[transformer.Site][]*applied{}}
	length := virtualTokens(o.Adapters) + len(ids[0])
	for t := range length {
		s.tokens = append(s.tokens, t)
		if has(o.Positions, t) {
			s.kept = append(s.kept, t)
		}
	}
	layers, err := s.layers()
	if err == nil {
		s.want, err = wanted(m.Config, layers, o.Hooks)
	}
	if err == nil {
		err = s.addEdits(layers)
	}
	if err == nil {
		err = check("position", "a sequence", o.Positions, length)
	}
	if err != nil {
		return nil, err
	}
	options := transformer.RunOptions{
		Batch: len(ids), Length: length, Train: o.Metric != nil, StreamOnly: o.Metric == nil && !s.hasLogits(), Adapters: o.Adapters, Hooks: s.hooks(),
	}
	if layers < len(m.Config.Layers) {
		options.Layers = layers
	}
	s.run, err = m.NewRun(options)
	return s, err
}

// layers is how many are computed.
func (s *session) layers() (int, error) {
	all, stop := len(s.model.Config.Layers), s.o.StopAtLayer
	if stop < 0 {
		stop += all
	}
	switch {
	case s.o.StopAtLayer == 0:
		return all, nil
	case stop < 1 || stop >= all:
		return 0, fmt.Errorf("stop at layer %d of %d: %w", s.o.StopAtLayer, all, transformer.ErrInput)
	case s.o.Metric != nil:
		return 0, fmt.Errorf("stop at layer %d, but a metric of the logits: %w", s.o.StopAtLayer, transformer.ErrInput)
	}
	return stop, nil
}

// addEdits finds the sites that edits are for.
func (s *session) addEdits(layers int) error {
	for _, e := range s.o.Edits {
		sites, err := matching(s.model.Config, layers, e.Hook)
		if err != nil {
			return err
		}
		for _, site := range sites {
			if err := e.check(site.String(), s.layout(site.Point), len(s.tokens)); err != nil {
				return err
			}
			s.edits[site] = append(s.edits[site], &applied{Edit: e})
		}
	}
	return nil
}

// hooks are what the run needs to know; nothing, if there is nothing to do.
func (s *session) hooks() transformer.Hooks {
	if s.want.None() && len(s.edits) == 0 {
		return transformer.Hooks{}
	}
	h := transformer.Hooks{Tap: s.tap, Wants: func(at transformer.Site) bool { return s.want.Test(siteIndex(at)) }}
	if len(s.edits) > 0 {
		h.Edits = func(at transformer.Site) bool { return len(s.edits[at]) > 0 }
	}
	if s.o.Metric != nil {
		h.GradTap = s.gradTap
	}
	return h
}

// layout is that of a site in the run. A prefix's keys come before the tokens'.
func (s *session) layout(p transformer.Point) layout {
	tokens := s.tokens
	if p >= transformer.FinalScale {
		tokens = s.kept
	}
	keys := len(s.tokens) + prefixTokens(s.o.Adapters)
	return newLayout(s.model.Config, p, s.batch, tokens, keys)
}

func (s *session) tap(p *tensor.Pass, at transformer.Site, t *tensor.Tensor) {
	for _, e := range s.edits[at] {
		if err := s.apply(p, at, e, t); err != nil {
			p.Fail(err)
			return
		}
	}
	if !s.quiet && s.want.Test(siteIndex(at)) {
		s.keep(p, captured{at, false}, t)
	}
}

func (s *session) gradTap(p *tensor.Pass, at transformer.Site, t *tensor.Tensor) {
	if s.want.Test(siteIndex(at)) {
		s.keep(p, captured{at, true}, t)
	}
	for _, e := range slices.Backward(s.edits[at]) {
		p.Do(tensor.Edit{X: t, Factor: e.factor})
	}
}

// apply makes an edit, and what it needs on the backend the first time.
func (s *session) apply(p *tensor.Pass, at transformer.Site, e *applied, t *tensor.Tensor) error {
	h := hooked{layout: s.layout(at.Point), name: at.String(), edit: e.Edit, read: func() ([]float32, error) {
		if err := p.Submit(s.ctx); err != nil {
			return nil, err
		}
		return tensor.Floats(s.ctx, s.model.Backend(), t)
	}}
	if e.factor == nil {
		factor, shift, err := h.operands()
		if err != nil {
			return err
		}
		if e.factor, err = tensor.FromFloats(s.ctx, s.model.Backend(), "edit.factor", factor, len(factor)); err != nil {
			return err
		}
		if shift != nil {
			if e.shift, err = tensor.FromFloats(s.ctx, s.model.Backend(), "edit.shift", shift, len(shift)); err != nil {
				return err
			}
		}
	}
	p.Do(tensor.Edit{X: t, Factor: e.factor, Shift: e.shift})
	return nil
}

// keep copies what is wanted, to be read when the pass has been computed. Where the host
// computes, that is at once, and the copy is the host's.
func (s *session) keep(p *tensor.Pass, c captured, t *tensor.Tensor) {
	if s.model.Backend().Info().Kind == "cpu" {
		err := p.Submit(s.ctx)
		if err == nil {
			err = s.take(c, t)
		}
		if err != nil {
			p.Fail(err)
		}
		return
	}
	dup, err := s.model.Backend().New(c.site.String(), tensor.F32, t.Len())
	if err != nil {
		p.Fail(err)
		return
	}
	p.Do(tensor.Scale{Out: dup, X: t, Factor: 1})
	s.copies, s.bytes = append(s.copies, pending{c, dup}), s.bytes+dup.Bytes()
	if s.bytes > maxPending {
		if err := errors.Join(p.Submit(s.ctx), s.read()); err != nil {
			p.Fail(err)
		}
	}
}

// read brings copies to the host, one after the other.
func (s *session) read() error {
	var errs []error
	for _, c := range s.copies {
		errs = append(errs, s.take(c.captured, c.copy), c.copy.Close())
	}
	s.copies, s.bytes = nil, 0
	return errors.Join(errs...)
}

// take reads what has been captured and passes it on.
func (s *session) take(c captured, t *tensor.Tensor) error {
	var values []float32
	var err error
	if s.lends {
		s.lent = slices.Grow(s.lent[:0], t.Len())[:t.Len()]
		values, err = s.lent, tensor.ReadFloats(s.ctx, s.model.Backend(), t, s.lent)
	} else {
		values, err = tensor.Floats(s.ctx, s.model.Backend(), t)
	}
	if err != nil {
		return err
	}
	return s.put(c, s.layout(c.site.Point).pick(values, s.o.Positions))
}

// rows are those of the kept tokens, for the logits.
func (s *session) rows() []int32 {
	var rows []int32
	for b := range s.batch {
		for _, t := range s.kept {
			rows = append(rows, int32(b*len(s.tokens)+t))
		}
	}
	return rows
}

// capture runs a batch: what is wanted goes to put, and the logits, if there are any, to
// logits. It returns the metric's value.
func (s *session) capture(batch transformer.Batch, put sink, logits func(a Activation) error) (float64, error) {
	s.put = put
	if err := s.run.Forward(s.ctx, batch); err != nil {
		return 0, err
	}
	value := 0.0
	if s.hasLogits() {
		var err error
		if value, err = s.logits(logits); err != nil {
			return 0, err
		}
	}
	return value, s.read()
}

// hasLogits says whether the run goes as far, and any are kept.
func (s *session) hasLogits() bool { return s.o.StopAtLayer == 0 && !s.o.noLogits && len(s.kept) > 0 }

// logits goes on to the logits, and back from the metric.
func (s *session) logits(take func(a Activation) error) (float64, error) {
	rows := s.rows()
	values, err := s.run.Logits(s.ctx, rows)
	if err != nil {
		return 0, err
	}
	all := Activation{[]int{s.batch, len(s.kept), s.model.Config.VocabSize}, values}
	if err := take(all); err != nil || s.o.Metric == nil {
		return 0, err
	}
	value, grad, err := s.o.Metric(all)
	if err != nil {
		return 0, err
	}
	s.quiet = true
	return value, s.run.BackwardFrom(s.ctx, rows, grad)
}

func (s *session) close() error {
	err := s.run.Close()
	for _, c := range s.copies {
		err = errors.Join(err, c.copy.Close())
	}
	for _, list := range s.edits {
		for _, e := range list {
			err = errors.Join(err, e.factor.Close(), e.shift.Close())
		}
	}
	return err
}
