package peft

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
)

// normParts is the number of partial sums that the gradient's norm is added up
// from. It is fixed, so that the norm has the same bits on any number of workers.
const normParts = 64

// adamW is the optimizer's state: the two moments, and scratch for the norm.
type adamW struct {
	params  *Params
	config  TrainConfig
	m, v    *tensor.Tensor // [total]
	sums    *tensor.Tensor // [normParts]
	clip    *tensor.Tensor // [2]: norm, factor
	backend tensor.Backend
}

func newAdamW(p *Params, c TrainConfig) (*adamW, error) {
	o := &adamW{params: p, config: c, backend: p.backend}
	for _, f := range []struct {
		to   **tensor.Tensor
		name string
		size int
	}{{&o.m, "adamw.m", p.Value.Len()}, {&o.v, "adamw.v", p.Value.Len()}, {&o.sums, "adamw.sums", normParts}, {&o.clip, "adamw.clip", 2}} {
		t, err := o.backend.New(f.name, tensor.F32, f.size)
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		*f.to = t
	}
	return o, nil
}

// OptimizerMemory returns how many bytes Train allocates for a method's optimizer.
func OptimizerMemory(m Method) (int64, error) {
	p := m.Params()
	before := p.backend.Memory().InUse
	o, err := newAdamW(p, TrainConfig{})
	if err != nil {
		return 0, err
	}
	n := p.backend.Memory().InUse - before
	return n, o.close()
}

// zero clears the gradients.
func (o *adamW) zero(ctx context.Context) error {
	p := tensor.Begin(o.backend)
	p.Do(tensor.Fill{Out: o.params.Grad})
	return p.Submit(ctx)
}

// step updates the parameters; t counts from 1. It returns the gradient's norm
// before clipping.
func (o *adamW) step(ctx context.Context, t int, lr float64) (norm float64, err error) {
	p, c := tensor.Begin(o.backend), o.config
	p.Do(
		tensor.SumSquares{Out: o.sums, X: o.params.Grad},
		tensor.ClipNorm{Clip: o.clip, Sums: o.sums, Max: float32(c.MaxGradNorm)},
		tensor.AdamW{Param: o.params.Value, M: o.m, V: o.v, Grad: o.params.Grad, Clip: o.clip, LR: float32(lr),
			Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Eps), WeightDecay: float32(c.WeightDecay), Step: t},
	)
	if err := p.Submit(ctx); err != nil {
		return 0, err
	}
	clip, err := tensor.Floats(ctx, o.backend, o.clip)
	if err != nil {
		return 0, err
	}
	return float64(clip[0]), nil
}

func (o *adamW) close() error {
	return errors.Join(o.m.Close(), o.v.Close(), o.sums.Close(), o.clip.Close())
}
