package transformer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

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
	return c.load(ctx, b, o, (*loader).fill)
}

// Plan is Load on a backend that has no memory, as [tensor.Plan]: nothing is read.
func (c *Checkpoint) Plan(p tensor.Backend, o LoadOptions) (*Model, error) {
	return c.load(context.Background(), p, o, func(*loader, context.Context) error { return nil })
}

func (c *Checkpoint) load(ctx context.Context, b tensor.Backend, o LoadOptions, fill func(*loader, context.Context) error) (*Model, error) {
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
	var err error
	m.Weights.each(c.Config, func(name string, t **tensor.Tensor, shape []int) {
		if err != nil {
			return
		}
		s := c.placed(name)
		if *t, err = b.New(name, s.DType, shape...); err != nil {
			err = fmt.Errorf("load %s: %w", name, err)
			return
		}
		l.weights = append(l.weights, weight{name, *t, s})
		l.total += s.Bytes(0, shape[0])
	})
	if c.Config.Tied {
		m.Weights.Unembed = m.Weights.Embed
	}
	if err == nil {
		err = fill(l, ctx)
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

// weight is a tensor to load.
type weight struct {
	name   string
	tensor *tensor.Tensor
	stored Stored
}

// loader moves tensors to a backend.
type loader struct {
	backend     tensor.Backend
	weights     []weight
	progress    func(done, total int64)
	mu          sync.Mutex // for done and progress
	done, total int64
	buffer      []byte
}

// host is a backend whose memory files can be read into, several at once.
type host interface {
	Fill(ctx context.Context, t *tensor.Tensor, f func(data []byte) error) error
}

// fill reads all tensors and writes them.
func (l *loader) fill(ctx context.Context) error {
	put, workers := l.write, 1
	if h, ok := l.backend.(host); ok {
		put, workers = h.Fill, runtime.GOMAXPROCS(0) // to bring fresh memory in takes as long as to copy
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, w := range l.weights {
		group.Go(func() error {
			for lo, hi := range w.stored.pieces() {
				piece, err := w.tensor.Slice(lo, hi)
				if err == nil {
					err = put(ctx, piece, func(data []byte) error { return w.stored.Rows(data, lo, hi) })
				}
				if err != nil {
					return fmt.Errorf("load %s: %w", w.name, err)
				}
				l.report(piece.Bytes())
			}
			return nil
		})
	}
	return group.Wait()
}

// write writes what read puts into a buffer.
func (l *loader) write(ctx context.Context, t *tensor.Tensor, read func(data []byte) error) error {
	l.buffer = resize(l.buffer, t.Bytes())
	if err := read(l.buffer); err != nil {
		return err
	}
	return l.backend.Write(ctx, t, l.buffer)
}

// report tells of bytes that have been loaded.
func (l *loader) report(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done += n; l.progress != nil {
		l.progress(l.done, l.total)
	}
}
