package cli

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/gpupeft/gpupeft/peft/data"
	"github.com/gpupeft/gpupeft/peft/runlog"
	"github.com/gpupeft/gpupeft/peft/tune"
	"github.com/gpupeft/gpupeft/transformer"
)

// record is what the logs have of a step.
func (j *job) record(s tune.Step, stepsPerEpoch int) runlog.Record {
	r := runlog.Record{
		Step: s.Step.Step, Epoch: float64(s.Step.Step) / float64(stepsPerEpoch), Loss: s.Loss, LR: s.LR, GradNorm: s.GradNorm, Tokens: s.Tokens,
		TokensPerS: float64(s.Tokens) / s.Duration.Seconds(), StepMS: float64(s.Duration) / float64(time.Millisecond),
		PeakBytes: j.backend.Memory().Peak,
	}
	if s.Score != nil {
		r.ValLoss, r.ValPPL, r.Accuracy = &s.Score.Loss, number(s.Score.Perplexity()), &s.Score.Accuracy
	}
	return r
}

// before measures the untuned model, allocates the activations of training, and
// measures the new adapter where that makes a difference.
func (j *job) before(ctx context.Context) error {
	r := &j.report
	var err error
	if j.plan.from != nil { // measured then
		return j.openRun()
	}
	if j.sample != nil {
		if j.sample.Before, err = j.continued(ctx, nil); err != nil {
			return err
		}
	}
	if j.valid != nil {
		s, err := j.scoreBare(ctx, j.valid, j.choices)
		if err != nil {
			return err
		}
		r.Base = scoreFrom(s)
	}
	if err := j.openRun(); err != nil || j.valid == nil {
		return err
	}
	r.Before = r.Base
	if m, ok := methodNamed(j.plan.method); !ok || !m.silent || j.plan.initAdapter != "" {
		s, err := j.evaluateHeldOut(ctx)
		if err != nil {
			return err
		}
		r.Before = scoreFrom(s)
	}
	j.out.say("held-out  loss %s for the bare model, %s before training", loss(r.Base), loss(r.Before))
	return nil
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
	for s, err := range tune.Run(ctx, j.tuneJob()) {
		if err != nil {
			return err
		}
		record := j.record(s, perEpoch)
		show.step(record)
		if err := j.took(ctx, s, record, show); err != nil {
			return err
		}
	}
	return nil
}

// took prints and logs a step.
func (j *job) took(ctx context.Context, s tune.Step, record runlog.Record, show *progress) error {
	r := &j.report
	if s.Score != nil {
		sc := scoreFrom(*s.Score)
		show.say("held-out  loss %s after step %d", loss(sc), s.Step.Step)
		if s.Stop != "" {
			r.After = sc
		}
		if err := j.sampleDuring(ctx, s, show); err != nil {
			return err
		}
	}
	if r.Steps < s.Step.Step { // else its evaluation was interrupted, and it has been counted
		r.add(record)
	}
	if err := j.log.Write(record); err != nil {
		return err
	}
	if s.Stop == "" {
		return nil
	}
	r.Stop, r.Interrupted = s.Stop, s.Stop == tune.Interrupted
	if j.plan.keepBest && s.Best != nil {
		r.BestStep = s.Best.Step
		if !r.Interrupted {
			r.After = scoreFrom(s.Best.Score)
		}
	}
	switch s.Stop {
	case tune.Interrupted:
		show.say("interrupted after step %d", s.Step.Step)
	case tune.OutOfTime:
		show.say("--max-time %v is over after step %d", j.plan.maxTime, s.Step.Step)
	case tune.Patience:
		show.say("no better %s in %d evaluations: stopped after step %d", j.plan.metric, j.plan.patience, s.Step.Step)
	}
	return nil
}

// tuneJob is what the library runs.
func (j *job) tuneJob() tune.Job {
	p := j.plan
	t := tune.Job{
		Config: tune.Config{
			Train: p.train, EvalEvery: p.evalEvery, Metric: p.metric, Patience: p.patience, KeepBest: p.keepBest, MaxTime: p.maxTime,
			Save: tune.Saving{Dir: p.checkpoints(), Every: p.saveEvery, Keep: p.keep, Last: p.keep > 0, Facts: j.facts, Note: j.note},
		},
		Run: j.run, Method: j.method, Data: j.stepsAfter, Resume: p.from,
	}
	if j.valid != nil {
		t.Evaluate = j.evaluateHeldOut
	}
	return t
}

// evaluateHeldOut scores what is trained.
func (j *job) evaluateHeldOut(ctx context.Context) (tune.Score, error) {
	return j.evaluate(ctx, j.run, j.valid, j.valid.Format, j.choices, j.plan.micro)
}

// stepsAfter returns the batches of the steps that follow some.
func (j *job) stepsAfter(done int) iter.Seq2[[]transformer.Batch, error] {
	l := j.plan.loader
	perEpoch, err := l.StepsPerEpoch(j.trainData)
	var c *data.Cursor
	if err == nil {
		c, err = l.Start(j.trainData, data.State{Seed: l.Seed, Epoch: uint64(done / perEpoch), Step: done % perEpoch})
	}
	if err != nil {
		return func(yield func([]transformer.Batch, error) bool) { yield(nil, err) }
	}
	return c.Steps()
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
