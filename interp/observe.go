package interp

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// An observer computes with the activations of one run.
type observer interface {
	// start prepares for a batch.
	start(r *transformer.Run, b transformer.Batch) error
	// tap is transformer.Hooks.Tap.
	tap(p *tensor.Pass, s transformer.Site, t *tensor.Tensor)
	// finish takes the results when the run has been computed.
	finish() error
	close() error
}

// observe runs sequences once, as far as o says, for any observers, and closes these.
func observe(ctx context.Context, m *transformer.Model, ids [][]int32, d DirectOptions, o transformer.RunOptions, all ...observer) error {
	o.Batch, o.Length, o.Adapters = len(ids), virtualTokens(d.Adapters)+len(ids[0]), d.Adapters
	o.Tap = func(p *tensor.Pass, s transformer.Site, t *tensor.Tensor) {
		for _, a := range all {
			a.tap(p, s, t)
		}
	}
	r, err := m.NewRun(o)
	if err != nil {
		return err
	}
	batch := withPrompt(r, ids, d.Task)
	for _, a := range all {
		if err == nil {
			err = a.start(r, batch)
		}
	}
	if err == nil {
		err = r.Forward(ctx, batch)
	}
	for _, a := range all {
		if err == nil {
			err = a.finish()
		}
	}
	for _, a := range all {
		if e := a.close(); err == nil { // which may be the same
			err = e
		}
	}
	return errors.Join(err, r.Close())
}
