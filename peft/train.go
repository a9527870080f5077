package peft

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"github.com/gpupeft/gpupeft/transformer"
)

// TrainConfig are the settings of a training run. A zero value means what the
// comment says.
type TrainConfig struct {
	Steps       int      // optimizer steps; must be given
	LR          float64  // the peak learning rate; must be given
	Schedule    Schedule // "" means Constant
	Warmup      int      // steps of linear warm-up
	Beta1       float64  // 0 means 0.9
	Beta2       float64  // 0 means 0.999
	Eps         float64  // 0 means 1e-8
	WeightDecay float64  // decoupled
	MaxGradNorm float64  // clip the global norm; 0: don't
	Seed        uint64   // of dropout
}

// check fills in the defaults.
func (c *TrainConfig) check() error {
	for _, d := range []struct {
		field *float64
		value float64
	}{{&c.Beta1, 0.9}, {&c.Beta2, 0.999}, {&c.Eps, 1e-8}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Steps < 1 || !(c.LR > 0) || c.Warmup < 0 || !(c.WeightDecay >= 0) || !(c.MaxGradNorm >= 0) {
		return fmt.Errorf("steps %d, lr %v, warmup %d, weight decay %v, max grad norm %v: %w",
			c.Steps, c.LR, c.Warmup, c.WeightDecay, c.MaxGradNorm, ErrConfig)
	}
	return c.Schedule.check()
}

// dropout seeds the dropout of a batch of a step; never 0.
func (c TrainConfig) dropout(step, batch int) uint64 {
	return rand.NewPCG(c.Seed, uint64(step)<<20|uint64(batch)).Uint64() | 1
}

// Step is the record of one optimizer step.
type Step struct {
	Step     int           // from 1
	Loss     float64       // mean over the step's targets, before the update
	LR       float64       // of this step
	GradNorm float64       // before clipping
	Tokens   int           // real tokens, without virtual ones and padding
	Targets  int           // tokens that had a loss
	Duration time.Duration // of this step
}

// Train runs Steps optimizer steps. Each takes one element of data: the batches
// that it accumulates gradients over, weighted by their number of targets as if
// they were one batch. Batches hold real tokens; Train puts the run's virtual ones
// in front. It ends early when data does, and with the first error.
func Train(ctx context.Context, r *transformer.Run, m Method, data iter.Seq2[[]transformer.Batch, error], c TrainConfig) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if err := c.check(); err != nil {
			yield(Step{}, err)
			return
		}
		optimizer, err := newAdamW(m.Params(), c)
		if err != nil {
			yield(Step{}, err)
			return
		}
		defer optimizer.close()
		t := 0
		for batches, err := range data {
			t++
			var s Step
			if err == nil {
				s, err = trainStep(ctx, r, optimizer, batches, t)
			}
			if err != nil {
				err = fmt.Errorf("step %d: %w", t, err)
			}
			if !yield(s, err) || err != nil || t == c.Steps {
				return
			}
		}
	}
}

// trainStep does one optimizer step.
func trainStep(ctx context.Context, r *transformer.Run, o *adamW, batches []transformer.Batch, t int) (Step, error) {
	start := time.Now()
	s := Step{Step: t, LR: o.config.LR * o.config.Schedule.Factor(t-1, o.config.Warmup, o.config.Steps)}
	prompted := make([]transformer.Batch, len(batches))
	for i, b := range batches {
		b.Dropout = o.config.dropout(t, i)
		prompted[i] = r.WithPrompt(b)
		s.Targets += prompted[i].Targets()
		for _, ids := range b.IDs {
			s.Tokens += len(ids)
		}
	}
	if s.Targets == 0 {
		return s, fmt.Errorf("no token of the batch has a label: %w", transformer.ErrInput)
	}
	if err := o.zero(ctx); err != nil {
		return s, err
	}
	for _, b := range prompted {
		loss, err := accumulate(ctx, r, b, s.Targets)
		if err != nil {
			return s, err
		}
		s.Loss += loss.Sum / float64(s.Targets)
	}
	if math.IsNaN(s.Loss) || math.IsInf(s.Loss, 0) {
		return s, fmt.Errorf("the loss is %v (try a lower --lr): %w", s.Loss, ErrDiverged)
	}
	var err error
	if s.GradNorm, err = o.step(ctx, t, s.LR); err != nil {
		return s, err
	}
	if math.IsNaN(s.GradNorm) || math.IsInf(s.GradNorm, 0) {
		return s, fmt.Errorf("the gradient's norm is %v (try a lower --lr): %w", s.GradNorm, ErrDiverged)
	}
	s.Duration = time.Since(start)
	return s, nil
}

// accumulate adds the gradient of one batch.
func accumulate(ctx context.Context, r *transformer.Run, b transformer.Batch, targets int) (transformer.Loss, error) {
	if err := r.Forward(ctx, b); err != nil {
		return transformer.Loss{}, err
	}
	loss, err := r.Loss(ctx)
	if err != nil {
		return loss, err
	}
	return loss, r.Backward(ctx, 1/float32(targets))
}

// Losses computes the loss of each of some batches, with the run's virtual tokens in
// front. It ends with the first error.
func Losses(ctx context.Context, r *transformer.Run, data iter.Seq2[transformer.Batch, error]) iter.Seq2[transformer.Loss, error] {
	return func(yield func(transformer.Loss, error) bool) {
		for b, err := range data {
			var loss transformer.Loss
			if err == nil {
				err = r.Forward(ctx, r.WithPrompt(b))
			}
			if err == nil {
				loss, err = r.Loss(ctx)
			}
			if !yield(loss, err) || err != nil {
				return
			}
		}
	}
}

// Evaluate computes the loss of a run over all batches together.
func Evaluate(ctx context.Context, r *transformer.Run, data iter.Seq2[transformer.Batch, error]) (transformer.Loss, error) {
	var total transformer.Loss
	for loss, err := range Losses(ctx, r, data) {
		if err != nil {
			return total, err
		}
		total = total.Add(loss)
	}
	return total, nil
}
