package bench

import (
	"context"
	"slices"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
)

// Products are the products of matrices of a call, run without anything else, in their
// order and with their tensors.
type Products struct {
	Result
	// Attention is the operations of attention's products of a call, which are no part of
	// the above, because attention is one kernel with what lies between them: scores and
	// mix forward, and twice as many backward, without what is computed again.
	Attention float64 `json:"attention_flops"`
}

// ProductShare is the share of a call that its products of matrices take alone, and that
// share if attention's took their time at the same rate; 0 where they were not measured.
func (r Result) ProductShare() (alone, withAttention float64) {
	if r.Products == nil {
		return 0, 0
	}
	alone = r.Products.Median.Seconds() / r.Median.Seconds()
	return alone, alone * (1 + r.Products.Attention/r.Products.Flops)
}

// A listener is a backend that keeps the products of matrices among the operations that
// it is given, while it listens.
type listener struct {
	tensor.Backend
	listening bool
	products  []tensor.Op
	attention float64
}

// Run implements tensor.Backend.
func (l *listener) Run(ctx context.Context, ops []tensor.Op) error {
	if l.listening {
		l.listen(ops)
	}
	return l.Backend.Run(ctx, ops)
}

func (l *listener) listen(ops []tensor.Op) {
	for _, o := range ops {
		switch o := o.(type) {
		case tensor.MatMul, tensor.MatMulDX, tensor.MatMulDW:
			l.products = append(l.products, o)
		case tensor.Attention:
			l.attention += o.Flops()
		case tensor.AttentionBackward:
			l.attention += 2 * tensor.Attention{Heads: o.Heads}.Flops()
		}
	}
}

// alone measures the products of one call. The job is not to be called afterwards, for its
// tensors hold other values then.
func (l *listener) alone(ctx context.Context, part Part, j *job, budget time.Duration) (*Products, error) {
	l.listening = true
	err := j.call(func() {})
	l.listening = false
	if err != nil {
		return nil, err
	}
	r := &Products{Result{Part: part, Name: "its matrix products alone"}, l.attention}
	for _, o := range l.products {
		r.Flops += o.Flops()
	}
	return r, r.repeat(budget, func() error {
		if err := l.Backend.Run(ctx, slices.Clone(l.products)); err != nil {
			return err
		}
		return l.Sync(ctx)
	})
}
