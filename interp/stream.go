package interp

import (
	"context"
	"errors"
	"io"

	"github.com/gpupeft/gpupeft/tensor/safetensors"
	"github.com/gpupeft/gpupeft/transformer"
)

// CaptureTo is [Capture] to a safetensors file, which becomes what [Trace.Write] makes of it.
// Each tensor is written when it has been computed, so that the host holds one at a time,
// and with a metric the logits and their gradient besides. The trace has the shapes of what
// was written, without values. After an error the file isn't complete.
func CaptureTo(ctx context.Context, m *transformer.Model, ids [][]int32, o Options, w io.WriterAt, metadata map[string]string) (*Trace, error) {
	s, err := newSession(ctx, m, ids, o)
	if err != nil {
		return nil, err
	}
	batch := withPrompt(s.run, ids, o.Task)
	t := s.outline(batch.IDs)
	t.Value, err = s.captureTo(batch, t, w, metadata)
	if err = errors.Join(err, s.close()); err != nil {
		return nil, err
	}
	return t, nil
}

// outline is the trace of a run that is to come: shapes, without values.
func (s *session) outline(tokens [][]int32) *Trace {
	t := newTrace(tokens, s.o)
	for _, at := range allSites(s.model.Config, len(s.model.Config.Layers)) {
		if !s.want.Test(siteIndex(at)) || at.Point >= transformer.FinalScale && !s.hasLogits() {
			continue
		}
		a := Activation{Shape: s.layout(at.Point).picked(s.o.Positions)}
		t.keep(captured{at, false}, a)
		if s.o.Metric != nil && s.hasLogits() {
			t.keep(captured{at, true}, a)
		}
	}
	if s.hasLogits() {
		t.Logits.Shape = []int{s.batch, len(s.kept), s.model.Config.VocabSize}
	}
	return t
}

// captureTo writes the tensors that an outline announces. It returns the metric's value.
func (s *session) captureTo(batch transformer.Batch, outline *Trace, w io.WriterAt, metadata map[string]string) (float64, error) {
	s.lends = true
	tensors := outline.tensors()
	file, err := safetensors.Place(w, metadata, tensors)
	if err != nil {
		return 0, err
	}
	put := func(name string, a Activation) error {
		if a.size() == 0 {
			return nil
		}
		return file.Put(name, a.write)
	}
	for _, t := range tensors {
		if t.Name == tokensName {
			err = file.Put(t.Name, t.Stream)
		}
	}
	value := 0.0
	if err == nil {
		value, err = s.capture(batch, func(c captured, a Activation) error { return put(c.name(), a) },
			func(a Activation) error { return put(logitsName, a) })
	}
	if err == nil {
		err = file.Done()
	}
	return value, err
}
