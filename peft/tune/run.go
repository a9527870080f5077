package tune

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/transformer"
)

// Config are the settings of a run. A zero value means what the comment says.
type Config struct {
	Train peft.TrainConfig

	EvalEvery int           // evaluate after every so many steps and the last one; 0: only after the last
	Metric    Metric        // of early stopping and of the best; "" means Loss
	Patience  int           // stop after so many evaluations without a better one; 0: don't
	KeepBest  bool          // leave the method as it was at the best evaluation
	MaxTime   time.Duration // stop after the step that exceeds it, counted from the call of Run; 0: don't
	Save      Saving
}

// Job is what a run works on.
type Job struct {
	Config
	Run    *transformer.Run // with Train, and Method among its adapters
	Method peft.Method
	// Data returns the batches of one step after the other, those of the first steps
	// that are done left out.
	Data func(done int) iter.Seq2[[]transformer.Batch, error]
	// Evaluate scores held-out data; nil: there is none. It ends with an error when its
	// context is cancelled.
	Evaluate func(ctx context.Context) (Score, error)
	// Resume is where to go on; nil: from the start.
	Resume *Checkpoint
}

// Step is the record of a step.
type Step struct {
	peft.Step
	Score *Score // of the held-out data after the step; nil: not measured
	Best  *Best  // the best evaluation until now; nil: none yet
	Stop  Reason // why the run ends after the step; "": it doesn't
}

// Best is the evaluation with the best metric, the first of those that are as good.
type Best struct {
	Step  int   `json:"step"`
	Score Score `json:"score"`
}

// Reason says why a run ended.
type Reason string

// The reasons.
const (
	Finished    Reason = "finished"    // all steps are taken
	Patience    Reason = "patience"    // Config.Patience
	OutOfTime   Reason = "time"        // Config.MaxTime
	Interrupted Reason = "interrupted" // the context was cancelled
)

// Complete says whether nothing is left to do.
func (r Reason) Complete() bool { return r == Finished || r == Patience }

// Run takes the steps of a job. Each is yielded when all that belongs to it is known;
// then the checkpoint is saved that is due, so that Saving.Note can tell what the caller
// did with the step. The last step has a reason. A run that goes on may begin with the
// record of a step that was yielded before, see Checkpoint.Again. When the loop over a run that ends by
// itself is over, the method is that of the best evaluation if KeepBest asks for it.
// The run ends with the first error.
func Run(ctx context.Context, j Job) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		if err := run(ctx, j, yield); err != nil {
			yield(Step{}, err)
		}
	}
}

// errDone ends a run whose caller has left the loop.
var errDone = errors.New("the caller has left")

// session is a run that is going on.
type session struct {
	Job
	trainer  *peft.Trainer
	started  time.Time
	before   time.Duration // of the parts before this one
	best     *kept
	waited   int  // evaluations since the best
	lastSave int  // its step
	pending  bool // the last step's evaluation is due and was interrupted
	last     *lastStep
}

func run(ctx context.Context, j Job, yield func(Step, error) bool) (err error) {
	if err := j.check(); err != nil {
		return err
	}
	s := &session{Job: j, started: time.Now()}
	if s.trainer, err = peft.NewTrainer(ctx, j.Run, j.Method, j.Train); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.trainer.Close())
		if errors.Is(err, errDone) {
			err = nil
		}
	}()
	if j.Resume != nil {
		if err := s.resume(ctx); err != nil {
			return err
		}
	}
	return s.steps(ctx, yield)
}

func (c *Config) check() error {
	if c.EvalEvery < 0 || c.Patience < 0 || c.MaxTime < 0 || c.Save.Every < 0 || c.Save.Keep < 0 {
		return fmt.Errorf("evaluation every %d, patience %d, time %v, checkpoint every %d, keep %d: %w",
			c.EvalEvery, c.Patience, c.MaxTime, c.Save.Every, c.Save.Keep, peft.ErrConfig)
	}
	zero := 0.0
	_, err := c.Metric.of(Score{Exact: &zero, Class: &zero})
	return err
}

// steps takes the steps that are left.
func (s *session) steps(ctx context.Context, yield func(Step, error) bool) error {
	if last := s.last; last != nil {
		ended, err := s.again(ctx, *last, yield)
		if ended || err != nil {
			return err
		}
	}
	next, stop := iter.Pull2(s.Data(s.trainer.Done()))
	defer stop()
	for s.trainer.Done() < s.Train.Steps {
		batches, err, more := next()
		if !more {
			return fmt.Errorf("the data ends after %d of %d steps: %w", s.trainer.Done(), s.Train.Steps, peft.ErrConfig)
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", s.trainer.Done()+1, err)
		}
		taken, err := s.trainer.Step(context.WithoutCancel(ctx), batches) // a step isn't interrupted
		if err != nil {
			return err
		}
		if ended, err := s.conclude(ctx, taken, yield); ended || err != nil {
			return err
		}
	}
	return nil
}

// again yields the step of the checkpoint once more: with the evaluation that was
// interrupted, or as the last one of a run that was complete.
func (s *session) again(ctx context.Context, last lastStep, yield func(Step, error) bool) (ended bool, err error) {
	if !last.Stop.Complete() {
		return s.conclude(ctx, last.Step, yield)
	}
	step := Step{Step: last.Step, Score: last.Score, Best: s.Resume.Best, Stop: last.Stop}
	if !yield(step, nil) {
		return true, errDone
	}
	return true, s.finish(ctx, step)
}

// conclude does what follows a step, and says whether it was the last.
func (s *session) conclude(ctx context.Context, taken peft.Step, yield func(Step, error) bool) (ended bool, err error) {
	step := Step{Step: taken}
	if err := s.assess(ctx, &step); err != nil {
		return true, err
	}
	if !yield(step, nil) {
		return true, errDone
	}
	ctx = context.WithoutCancel(ctx)
	if err := s.save(ctx, step); err != nil || step.Stop == "" {
		return err != nil, err
	}
	return true, s.finish(ctx, step)
}

// assess evaluates after a step if that is due, and decides whether to stop.
func (s *session) assess(ctx context.Context, step *Step) error {
	at := step.Step.Step
	last, late := at == s.Train.Steps, s.MaxTime > 0 && time.Since(s.started) >= s.MaxTime
	s.pending = false
	if s.Evaluate != nil && (last || late || s.EvalEvery > 0 && at%s.EvalEvery == 0) {
		score, err := s.Evaluate(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			s.pending = true
		case err != nil:
			return fmt.Errorf("evaluation after step %d: %w", at, err)
		case math.IsNaN(score.Loss) || math.IsInf(score.Loss, 0):
			return fmt.Errorf("evaluation after step %d: the loss is %v: %w", at, score.Loss, peft.ErrDiverged)
		default:
			step.Score = &score
			if err := s.rank(ctx, at, score); err != nil {
				return err
			}
		}
	}
	if s.best != nil {
		step.Best = &s.best.Best
	}
	switch {
	case last && !s.pending:
		step.Stop = Finished
	case s.Patience > 0 && s.waited >= s.Patience:
		step.Stop = Patience
	case ctx.Err() != nil:
		step.Stop = Interrupted
	case late:
		step.Stop = OutOfTime
	}
	return nil
}

func (s *session) elapsed() time.Duration { return s.before + time.Since(s.started) }

// finish leaves the best.
func (s *session) finish(ctx context.Context, last Step) error {
	if !s.KeepBest || s.best == nil || s.best.Step == last.Step.Step {
		return nil
	}
	return s.best.restore(ctx, s.Method.Params())
}
