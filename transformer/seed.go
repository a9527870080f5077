package transformer

import (
	"context"
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
)

// BackwardFrom takes a gradient of some logits back to everything that is trained and
// to every GradTap: of any function of them, where Backward is for the loss. The rows
// are as for Logits, each at most once; grad is [len(rows), V], with respect to what
// Logits returns for them.
func (r *Run) BackwardFrom(ctx context.Context, rows []int32, grad []float32) error {
	if err := r.checkRows(rows); err != nil {
		return err
	}
	c, m := r.model.Config, len(rows)
	if !r.options.Train || len(grad) != m*c.VocabSize {
		return fmt.Errorf("%d values of gradient for %d rows of %d logits, in a run with train %v: %w",
			len(grad), m, c.VocabSize, r.options.Train, ErrInput)
	}
	parts, err := r.seed(ctx, rows)
	if err != nil {
		return err
	}
	p := tensor.Begin(r.model.backend)
	r.unembed(p, m)
	for _, pt := range parts {
		if err := r.seedPart(ctx, p, pt, m, grad); err != nil {
			return err
		}
	}
	r.finalNormBackward(p, m)
	r.backward(p)
	r.batch.state = forwarded
	return p.Submit(ctx)
}

// seed makes room for the gradient, and writes which rows it is of.
func (r *Run) seed(ctx context.Context, rows []int32) ([]part, error) {
	inverse := make([]int32, r.tokens())
	for i := range inverse {
		inverse[i] = -1
	}
	for i, row := range rows {
		if inverse[row] >= 0 {
			return nil, fmt.Errorf("row %d twice: %w", row, ErrInput)
		}
		inverse[row] = int32(i)
	}
	if r.head.dlogits == nil {
		if r.head.dlogits = r.memory.new("unembed.hook_out.grad", tensor.F32, r.LogitsSize()); r.memory.err != nil {
			err := r.memory.err
			r.memory.err = nil
			return nil, err
		}
	}
	be := r.model.backend
	if err := tensor.WriteInts(ctx, be, view(r.head.rows, len(rows)), rows); err != nil {
		return nil, err
	}
	if err := tensor.WriteInts(ctx, be, view(r.head.inverse, len(inverse)), inverse); err != nil {
		return nil, err
	}
	return r.parts(len(rows))
}

// seedPart writes a part of the gradient and records its way through the soft-cap and
// the output matrix.
func (r *Run) seedPart(ctx context.Context, p *tensor.Pass, pt part, m int, grad []float32) error {
	c := r.model.Config
	values := make([]float32, 0, m*pt.size)
	for i := range m {
		values = append(values, grad[i*c.VocabSize+pt.first:][:pt.size]...)
	}
	if err := p.Submit(ctx); err != nil { // what reads the part before
		return err
	}
	dlogits := view(r.head.dlogits, m, pt.size)
	if err := tensor.WriteFloats(ctx, r.model.backend, dlogits, values); err != nil {
		return err
	}
	if c.FinalSoftCap > 0 {
		capped := view(r.head.capped, m, pt.size)
		pt.project(r, p, view(r.head.norm, m, c.Hidden))
		p.Do(tensor.SoftCap{Out: capped, X: pt.logits, Cap: c.FinalSoftCap},
			tensor.SoftCapBackward{DX: pt.logits, DOut: dlogits, Out: capped, Cap: c.FinalSoftCap})
		dlogits = pt.logits
	}
	r.unembedBackward(p, pt, dlogits, m)
	return nil
}
