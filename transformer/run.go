package transformer

import (
	"context"
	"errors"
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// RunOptions sizes a run. Its buffers are allocated once, for the largest batch.
type RunOptions struct {
	Batch  int // most sequences at a time
	Length int // most tokens of a sequence in one Forward, virtual tokens included

	// Context, if positive, gives the run a cache for the keys and values of so
	// many tokens a sequence; Forward then continues where it stopped.
	Context int
	// Train keeps what Backward needs.
	Train bool
	// GradCheckpoint keeps only the stream between layers for Backward, which then
	// computes each layer's activations again (Chen et al. 2016, arXiv 1604.06174):
	// a fraction of the memory for about a third more time. Tap is called again for
	// a layer that is computed again.
	GradCheckpoint bool
	// Adapters plug into the run, in this order.
	Adapters []Adapter

	// Layers, if positive, is how many layers Forward computes; there are no logits then.
	Layers int
	// StreamOnly ends Forward behind its last layer: there are no logits, and no memory for
	// them. HeadsOnly ends it at Z of that layer already: attention is computed, and what
	// becomes of it isn't.
	StreamOnly, HeadsOnly bool

	Hooks
}

// reads says whether a run reads logits from a stream.
func (o *RunOptions) reads() bool { return !o.StreamOnly && !o.HeadsOnly }

// Run computes one batch at a time. It belongs to one goroutine.
type Run struct {
	model    *Model
	options  RunOptions
	memory   arena
	adapters combined
	ropes    map[RoPE]*tensor.Tensor // [positions, h]
	input    input
	slots    map[slotKey]*tensor.Tensor
	head     head
	cache    *cache
	prefixed prefixed // if there is a prefix and no cache
	plan     plan     // views for the shape of the last Forward
	batch    batch    // the last Forward
	closed   bool
}

// NewRun allocates a run. Errors wrap ErrInput, tensor.ErrMemory or what an
// adapter returns.
func (m *Model) NewRun(o RunOptions) (*Run, error) {
	switch {
	case o.Batch < 1 || o.Length < 1 || o.Context < 0 || (o.Train && o.Context > 0):
		return nil, fmt.Errorf("run for %d×%d tokens, context %d, train %v: %w", o.Batch, o.Length, o.Context, o.Train, ErrInput)
	case o.Layers < 0 || o.Layers > len(m.Config.Layers) || (o.Train && (o.Layers > 0 || !o.reads())):
		return nil, fmt.Errorf("run for %d of %d layers, stream only %v, heads only %v, train %v: %w",
			o.Layers, len(m.Config.Layers), o.StreamOnly, o.HeadsOnly, o.Train, ErrInput)
	case o.GradCheckpoint && o.Edits != nil:
		return nil, fmt.Errorf("edits with gradient checkpointing, which would make them twice: %w", ErrUnsupported)
	}
	r := &Run{model: m, options: o, memory: arena{backend: m.backend}}
	err := r.attach(o.Adapters)
	if err == nil {
		r.allocate()
		err = r.memory.err
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Run) allocate() {
	c, o := r.model.Config, r.options
	prefix := r.adapters.prefixTokens()
	keys := prefix + o.Length
	switch {
	case o.Context > 0:
		keys = prefix + o.Context
		r.cache = newCache(&r.memory, c, o.Batch, keys)
		r.Reset()
	case prefix > 0:
		r.prefixed = newPrefixed(&r.memory, c, o.Batch*keys, o.Train)
	}
	r.input = newInput(&r.memory, c, r.Capacity(), o.Batch*keys)
	r.slots = r.allocatePlan(keys)
	if o.reads() {
		r.head = r.newHead()
	}
	r.ropes = map[RoPE]*tensor.Tensor{}
	for _, l := range c.Layers {
		if r.ropes[l.RoPE] == nil {
			r.ropes[l.RoPE] = r.memory.new("rope", tensor.F32, keys, c.HeadDim)
		}
	}
}

// Model returns what the run computes with.
func (r *Run) Model() *Model { return r.model }

// Capacity returns the most tokens of one Forward, over all sequences.
func (r *Run) Capacity() int { return r.options.Batch * r.options.Length }

// Trains says whether the run can do Backward.
func (r *Run) Trains() bool { return r.options.Train }

// Close frees the run's buffers. A second call does nothing.
func (r *Run) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.memory.close()
	for _, at := range r.adapters.attached {
		if at.Close != nil {
			err = errors.Join(err, at.Close())
		}
	}
	return err
}

// Forward runs a batch through the blocks. Logits, Loss and Backward go on from
// there. Errors wrap ErrInput if the batch doesn't fit the model or the run.
func (r *Run) Forward(ctx context.Context, b Batch) error {
	if err := r.prepare(ctx, b); err != nil {
		return err
	}
	p := tensor.Begin(r.model.backend)
	r.forward(p)
	if err := p.Submit(ctx); err != nil {
		return err
	}
	r.batch.state = forwarded
	if r.cache != nil {
		r.cache.filled += r.batch.length
	}
	return nil
}

// Backward takes the gradient of the last Loss, summed over all targets and times
// scale, back to everything that is trained. It is added to what is there.
func (r *Run) Backward(ctx context.Context, scale float32) error {
	if !r.options.Train || r.batch.state != hasLoss || r.closed {
		return fmt.Errorf("backward needs an open run with Train, after Loss: %w", ErrInput)
	}
	p := tensor.Begin(r.model.backend)
	r.lossBackward(p, scale)
	r.backward(p)
	r.batch.state = forwarded // the logits have become their gradient
	return p.Submit(ctx)
}

// layers is how many layers Forward computes.
func (r *Run) layers() int {
	if r.options.Layers > 0 {
		return r.options.Layers
	}
	return len(r.model.Config.Layers)
}

// whole says whether Forward computes the stream that logits come from.
func (r *Run) whole() bool {
	return r.layers() == len(r.model.Config.Layers) && r.options.reads()
}

// Reset empties the cache, so that the next Forward starts new sequences.
func (r *Run) Reset() {
	if r.cache != nil {
		r.cache.filled = r.adapters.prefixTokens()
	}
}

// Cached returns how many tokens of each sequence are in the cache, without a prefix.
func (r *Run) Cached() int {
	if r.cache == nil {
		return 0
	}
	return r.cache.filled - r.adapters.prefixTokens()
}

// Rewind keeps only the first n tokens of each sequence in the cache, so that the next
// Forward goes on from there. The error wraps ErrInput if there are fewer.
func (r *Run) Rewind(n int) error {
	if n < 0 || n > r.Cached() {
		return fmt.Errorf("%d of %d tokens in the cache: %w", n, r.Cached(), ErrInput)
	}
	if r.cache != nil {
		r.cache.filled = r.adapters.prefixTokens() + n
	}
	return nil
}

// Positions returns how many tokens of a sequence, virtual ones included, there can be at
// most: the room of the cache, if there is one, and no more than the model's positions
// without those of a prefix.
func (r *Run) Positions() int {
	n := r.model.Config.MaxPositions - r.adapters.prefixTokens()
	if r.cache != nil {
		n = min(n, r.options.Context)
	}
	return n
}

// Recomputes says whether a projection's Forward is called again before its Backward
// (RunOptions.GradCheckpoint), without another layer's in between: then an adapter may
// keep what it needs in one buffer for all layers.
func (r *Run) Recomputes(p Proj) bool {
	return r.options.GradCheckpoint && (p != DownProj || r.model.Config.PostNorms)
}

// DropoutSeed is the present batch's.
func (r *Run) DropoutSeed() uint64 { return r.batch.given.Dropout }
