package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// stepRecord is a line of --log-jsonl.
type stepRecord struct {
	Step       int      `json:"step"`
	Epoch      float64  `json:"epoch"`
	Loss       float64  `json:"loss"` // mean over the step's targets, before the update
	LR         float64  `json:"lr"`
	GradNorm   float64  `json:"grad_norm"` // before clipping
	Tokens     int      `json:"tokens"`    // of the step, without virtual ones and padding
	TokensPerS float64  `json:"tokens_per_s"`
	StepMS     float64  `json:"step_ms"`
	ValLoss    *float64 `json:"val_loss,omitempty"` // where it was measured after the step

	duration time.Duration
}

func newRecord(s peft.Step, stepsPerEpoch int) stepRecord {
	return stepRecord{
		Step: s.Step, Epoch: float64(s.Step) / float64(stepsPerEpoch), Loss: s.Loss, LR: s.LR, GradNorm: s.GradNorm, Tokens: s.Tokens,
		TokensPerS: float64(s.Tokens) / s.Duration.Seconds(), StepMS: float64(s.Duration) / float64(time.Millisecond), duration: s.Duration,
	}
}

// before measures the untuned model, allocates the activations of training, and
// measures the new adapter where that makes a difference.
func (j *job) before(ctx context.Context) error {
	r := &j.report
	var err error
	if j.sample != nil {
		if j.sample.Before, err = j.continued(ctx, nil); err != nil {
			return err
		}
	}
	if j.valid != nil {
		if r.Base, err = j.scoreBase(ctx); err != nil {
			return err
		}
	}
	if err := j.openRun(); err != nil || j.valid == nil {
		return err
	}
	r.Before = r.Base
	if m, ok := methodNamed(j.plan.method); !ok || !m.silent || j.plan.initAdapter != "" {
		if r.Before, err = j.evaluate(ctx, j.run, j.valid, j.plan.micro); err != nil {
			return err
		}
	}
	j.out.say("held-out  loss %s for the bare model, %s before training", loss(r.Base), loss(r.Before))
	return nil
}

// scoreBase evaluates the model without what is trained.
func (j *job) scoreBase(ctx context.Context) (*score, error) {
	r, err := j.model.NewRun(transformer.RunOptions{Batch: j.plan.micro, Length: j.valid.Longest()})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return j.evaluate(ctx, r, j.valid, j.plan.micro)
}

// train takes the steps. An interrupt ends it after the step that is running.
func (j *job) train(ctx context.Context) error {
	p := j.plan
	perEpoch, err := p.loader.StepsPerEpoch(j.trainData)
	if err != nil {
		return err
	}
	show := newProgress(j.out, p.train.Steps)
	defer show.line.clear()
	steps := peft.Train(context.WithoutCancel(ctx), j.run, j.method, p.loader.Steps(j.trainData), p.train)
	for s, err := range steps {
		if err != nil {
			return err
		}
		record := newRecord(s, perEpoch)
		show.step(record)
		if record.ValLoss, err = j.evaluateAfter(ctx, s.Step, show); err != nil {
			return err
		}
		j.report.add(record)
		if err := j.log.write(record); err != nil {
			return err
		}
		if ctx.Err() != nil {
			j.report.Interrupted = s.Step < p.train.Steps || j.valid != nil && j.report.After == nil
			show.say("interrupted after step %d", s.Step)
			break
		}
	}
	return nil
}

// evaluateAfter measures the held-out loss after a step, if it is due. An interrupt
// ends it without an error and without a loss.
func (j *job) evaluateAfter(ctx context.Context, step int, show *progress) (*float64, error) {
	p := j.plan
	last := step == p.train.Steps
	if j.valid == nil || ctx.Err() != nil || !last && (p.evalEvery == 0 || step%p.evalEvery != 0) {
		return nil, nil
	}
	s, err := j.evaluate(ctx, j.run, j.valid, p.micro)
	if errors.Is(err, context.Canceled) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if last {
		j.report.After = s
	}
	show.say("held-out  loss %s after step %d", loss(s), step)
	return s.Loss, nil
}

// after makes the second sample.
func (j *job) after(ctx context.Context) (err error) {
	if err := j.closeRun(); err != nil || j.sample == nil || j.report.Interrupted {
		return err
	}
	j.sample.After, err = j.continued(ctx, j.method)
	return err
}

func loss(s *score) string {
	if s == nil || s.Loss == nil {
		return "none"
	}
	return fmt.Sprintf("%.4f", *s.Loss)
}
