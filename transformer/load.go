package transformer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/gpupeft/gpupeft/tensor"
)

// LoadOptions changes how a checkpoint is loaded.
type LoadOptions struct {
	// Quant, if it is a quantized type, packs the weights while they are loaded; see
	// [Checkpoint.Quantized].
	Quant tensor.DType
	// Progress, if set, is called now and then with the bytes loaded so far and in
	// all, as they will lie on the backend.
	Progress func(done, total int64)
}

// Load opens the model in a directory, as [Open] does, and puts its weights onto a
// backend.
func Load(ctx context.Context, b tensor.Backend, dir fs.FS, o LoadOptions) (*Model, error) {
	c, err := Open(dir)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Load(ctx, b, o)
}

// Load puts the weights onto a backend, a few rows at a time, so that the host's
// memory never holds a whole matrix twice. All names, shapes and types are checked
// before the first byte is read.
func (c *Checkpoint) Load(ctx context.Context, b tensor.Backend, o LoadOptions) (*Model, error) {
	return c.load(ctx, b, o, func(l *loader, t *tensor.Tensor, s Stored) error { return l.fill(ctx, t, s) })
}

// Plan is Load on a backend that has no memory, as [tensor.Plan]: nothing is read.
func (c *Checkpoint) Plan(p tensor.Backend, o LoadOptions) (*Model, error) {
	return c.load(context.Background(), p, o, func(*loader, *tensor.Tensor, Stored) error { return nil })
}

func (c *Checkpoint) load(ctx context.Context, b tensor.Backend, o LoadOptions, fill func(*loader, *tensor.Tensor, Stored) error) (*Model, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if o.Quant.Quantized() {
		var err error
		if c, err = c.Quantized(o.Quant); err != nil {
			return nil, err
		}
	}
	m := &Model{Config: c.Config, Weights: newWeights(c.Config), backend: b}
	l := &loader{backend: b, progress: o.Progress}
	m.Weights.each(c.Config, func(name string, _ **tensor.Tensor, shape []int) { l.total += c.placed(name).Bytes(0, shape[0]) })
	var err error
	m.Weights.each(c.Config, func(name string, t **tensor.Tensor, shape []int) {
		if err != nil {
			return
		}
		s := c.placed(name)
		if *t, err = b.New(name, s.DType, shape...); err == nil {
			err = fill(l, *t, s)
		}
		if err != nil {
			err = fmt.Errorf("load %s: %w", name, err)
		}
	})
	if c.Config.Tied {
		m.Weights.Unembed = m.Weights.Embed
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// placed returns a tensor as it is put onto a backend: vectors are F32 there.
func (c *Checkpoint) placed(name string) Stored {
	s := c.tensors[name]
	if len(s.Shape) == 1 {
		return s.As(tensor.F32)
	}
	return s
}

// loader moves tensors to a backend.
type loader struct {
	backend     tensor.Backend
	progress    func(done, total int64)
	done, total int64
	buffer      []byte
}

// fill reads a tensor's rows and writes them.
func (l *loader) fill(ctx context.Context, t *tensor.Tensor, s Stored) error {
	for lo, hi := range s.pieces() {
		l.buffer = resize(l.buffer, s.Bytes(lo, hi))
		if err := s.Rows(l.buffer, lo, hi); err != nil {
			return err
		}
		piece, err := t.Slice(lo, hi)
		if err != nil {
			return err
		}
		if err := l.backend.Write(ctx, piece, l.buffer); err != nil {
			return err
		}
		if l.done += s.Bytes(lo, hi); l.progress != nil {
			l.progress(l.done, l.total)
		}
	}
	return nil
}
