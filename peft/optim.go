package peft

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
)

// normParts is the number of partial sums of a group's part of the gradient's norm. It
// is fixed, so that the norm has the same bits on any number of workers.
const normParts = 64

// adamW is the optimizer's state: the two moments of each group, and scratch for the
// norm.
type adamW struct {
	params  *Params
	config  TrainConfig
	moments []moments      // by group
	sums    *tensor.Tensor // [groups·normParts]
	clip    *tensor.Tensor // [2]: norm, factor
	backend tensor.Backend
}

// moments are those of a group, and its part of the sums.
type moments struct{ m, v, sums *tensor.Tensor } // [total], [total], [normParts]

func newAdamW(p *Params, c TrainConfig) (*adamW, error) {
	o := &adamW{params: p, config: c, backend: p.backend, moments: make([]moments, len(p.Groups))}
	room := func(to **tensor.Tensor, name string, size int) (err error) {
		*to, err = o.backend.New(name, tensor.F32, size)
		return err
	}
	err := room(&o.sums, "adamw.sums", normParts*len(p.Groups))
	if err == nil {
		err = room(&o.clip, "adamw.clip", 2)
	}
	for i, g := range p.Groups {
		s := &o.moments[i]
		if err == nil {
			err = room(&s.m, "adamw.m", g.Value.Len())
		}
		if err == nil {
			err = room(&s.v, "adamw.v", g.Value.Len())
		}
		if err == nil {
			s.sums, err = o.sums.Slice(i*normParts, (i+1)*normParts)
		}
	}
	if err != nil {
		return nil, errors.Join(err, o.close())
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
	for _, g := range o.params.Groups {
		p.Do(tensor.Fill{Out: g.Grad})
	}
	return p.Submit(ctx)
}

// step updates the parameters; t counts from 1. It returns the gradient's norm
// before clipping.
func (o *adamW) step(ctx context.Context, t int, lr float64) (norm float64, err error) {
	p, c := tensor.Begin(o.backend), o.config
	for i, g := range o.params.Groups {
		p.Do(tensor.SumSquares{Out: o.moments[i].sums, X: g.Grad})
	}
	p.Do(tensor.ClipNorm{Clip: o.clip, Sums: o.sums, Max: float32(c.MaxGradNorm)})
	for i, g := range o.params.Groups {
		p.Do(tensor.AdamW{Param: g.Value, M: o.moments[i].m, V: o.moments[i].v, Grad: g.Grad, Clip: o.clip, LR: float32(lr * g.LR),
			Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Eps), WeightDecay: float32(c.WeightDecay), Step: t})
	}
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
	err := errors.Join(o.sums.Close(), o.clip.Close())
	for _, s := range o.moments {
		err = errors.Join(err, s.m.Close(), s.v.Close())
	}
	return err
}
