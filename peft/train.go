package peft

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/gpupeft/gpupeft/transformer"
)

// TrainConfig are the settings of a training run. A zero value means what the
// comment says.
type TrainConfig struct {
	Steps       int       // optimizer steps; must be given
	Optimizer   Optimizer // "" means AdamW
	LR          float64   // the peak learning rate; must be given
	MinLR       float64   // what the schedule ends at, at most LR
	Schedule    Schedule  // "" means Constant
	Warmup      int       // steps of linear warm-up
	Beta1       float64   // 0 means 0.9; SGD's momentum
	Beta2       float64   // 0 means 0.999, or 0.99 for Lion
	Eps         float64   // 0 means 1e-8; of AdamW and AdamW8bit
	WeightDecay float64   // decoupled; SGD: added to the gradient
	MaxGradNorm float64   // clip the global norm; 0: don't
	Seed        uint64    // of dropout
}

// check fills in the defaults.
func (c *TrainConfig) check() error {
	kind, err := c.Optimizer.index()
	if err != nil {
		return err
	}
	for _, d := range []struct {
		field *float64
		value float64
	}{{&c.Beta1, 0.9}, {&c.Beta2, rules[kind].beta2}, {&c.Eps, 1e-8}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	c.Optimizer = rules[kind].name
	if c.Steps < 1 || !(c.LR > 0) || c.Warmup < 0 || !(c.WeightDecay >= 0) || !(c.MaxGradNorm >= 0) {
		return fmt.Errorf("steps %d, lr %v, warmup %d, weight decay %v, max grad norm %v: %w",
			c.Steps, c.LR, c.Warmup, c.WeightDecay, c.MaxGradNorm, ErrConfig)
	}
	if !(c.MinLR >= 0 && c.MinLR <= c.LR) {
		return fmt.Errorf("least lr %v, lr %v: %w", c.MinLR, c.LR, ErrConfig)
	}
	return c.Schedule.check()
}

// rate is the learning rate of a step, counted from 0.
func (c TrainConfig) rate(step int) float64 {
	return c.LR * c.Schedule.Factor(step, c.Warmup, c.Steps, c.MinLR/c.LR)
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

// Train runs Steps optimizer steps, see Trainer.Step. Each takes one element of data. It
// ends early when data does, and with the first error.
func Train(ctx context.Context, r *transformer.Run, m Method, data iter.Seq2[[]transformer.Batch, error], c TrainConfig) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		trainer, err := NewTrainer(ctx, r, m, c)
		if err != nil {
			yield(Step{}, err)
			return
		}
		defer trainer.Close()
		for batches, err := range data {
			s := Step{Step: trainer.Done() + 1}
			if err != nil {
				err = fmt.Errorf("step %d: %w", s.Step, err)
			} else {
				s, err = trainer.Step(ctx, batches)
			}
			if !yield(s, err) || err != nil || trainer.Done() == c.Steps {
				return
			}
		}
	}
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
