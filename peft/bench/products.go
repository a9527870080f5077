package bench

import (
	"context"
	"slices"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
)

// A listener is a backend that keeps the products of matrices among the operations that
// it is given, while it listens.
type listener struct {
	tensor.Backend
	listening bool
	products  []tensor.Op
}

// Run implements tensor.Backend.
func (l *listener) Run(ctx context.Context, ops []tensor.Op) error {
	if l.listening {
		for _, o := range ops {
			switch o.(type) {
			case tensor.MatMul, tensor.MatMulDX, tensor.MatMulDW:
				l.products = append(l.products, o)
			}
		}
	}
	return l.Backend.Run(ctx, ops)
}

// alone measures the products of matrices of one call, with the same tensors, in the same
// order, and nothing between them: a job cannot take less. The job is not to be called
// afterwards, for its tensors hold other values then.
func (l *listener) alone(ctx context.Context, part Part, j *job, budget time.Duration) (*Result, error) {
	l.listening, l.products = true, nil
	err := j.call(func() {})
	l.listening = false
	if err != nil {
		return nil, err
	}
	r := &Result{Part: part, Name: "its matrix products alone"}
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
