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
	// Quant, if it is a quantized type, packs the projections while they are loaded.
	// The embedding and output matrices, which matter most, become Q8_0, or with NF4
	// and FP4 stay as they are stored, as in HF's load_in_4bit.
	Quant tensor.DType
	// Progress, if set, is called now and then with the bytes loaded so far and in
	// all, as they are stored.
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

// Plan is Load on a backend that has no memory: nothing is read.
func (c *Checkpoint) Plan(p *tensor.Plan, o LoadOptions) (*Model, error) {
	return c.load(context.Background(), p, o, func(*loader, *tensor.Tensor, Stored) error { return nil })
}

func (c *Checkpoint) load(ctx context.Context, b tensor.Backend, o LoadOptions, fill func(*loader, *tensor.Tensor, Stored) error) (*Model, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m := &Model{Config: c.Config, Weights: newWeights(c.Config), backend: b}
	l := &loader{backend: b, progress: o.Progress}
	types := map[string]tensor.DType{}
	var errs []error
	m.Weights.each(c.Config, func(name string, _ **tensor.Tensor, shape []int) {
		s, err := c.tensors[name], error(nil)
		types[name], err = o.target(name, s)
		errs = append(errs, err)
		l.total += s.Bytes(0, shape[0])
	})
	err := errors.Join(errs...)
	m.Weights.each(c.Config, func(name string, t **tensor.Tensor, shape []int) {
		if err != nil {
			return
		}
		if *t, err = b.New(name, types[name], shape...); err == nil {
			err = fill(l, *t, c.tensors[name])
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

// target returns the type that a tensor gets on the backend.
func (o LoadOptions) target(name string, s Stored) (tensor.DType, error) {
	if len(s.Shape) == 1 {
		return tensor.F32, nil
	}
	dt := o.Quant
	if !dt.Quantized() {
		return s.DType, nil
	}
	if name == embedName || name == unembedName {
		if dt == tensor.NF4 || dt == tensor.FP4 {
			return s.DType, nil
		}
		dt = tensor.Q8_0
	}
	if s.DType.Quantized() {
		return dt, fmt.Errorf("tensor %q is %v already: it can't be packed as %v without losing more: %w", name, s.DType, dt, ErrUnsupported)
	}
	if row := s.Shape[len(s.Shape)-1]; row%dt.Block() != 0 {
		return dt, fmt.Errorf("tensor %q: rows of %d are no whole blocks of %d, as %v needs: %w", name, row, dt.Block(), dt, ErrUnsupported)
	}
	return dt, nil
}

// loader moves tensors to a backend.
type loader struct {
	backend     tensor.Backend
	progress    func(done, total int64)
	done, total int64
	buffer      []byte
}

// fill reads a tensor's rows in its type and writes them.
func (l *loader) fill(ctx context.Context, t *tensor.Tensor, s Stored) error {
	as := s.As(t.DType)
	for lo, hi := range as.pieces() {
		l.buffer = resize(l.buffer, as.Bytes(lo, hi))
		if err := as.Rows(l.buffer, lo, hi); err != nil {
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
