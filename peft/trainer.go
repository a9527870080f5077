package peft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// normParts is the number of partial sums of a group's part of the gradient's norm. It
// is fixed, so that the norm has the same bits on any number of workers.
const normParts = 64

// Trainer takes optimizer steps. It holds all that the next step depends on, apart from
// the data: see Tensors. It belongs to one goroutine.
type Trainer struct {
	run    *transformer.Run
	params *Params
	config TrainConfig
	done   int
	state  *scratch // what the optimizer remembers
	update rule
	norm   *scratch
	sums   *tensor.Tensor   // [groups·normParts]
	parts  []*tensor.Tensor // of sums, by group
	clip   *tensor.Tensor   // [2]: norm, factor
}

// NewTrainer prepares the training of a method that r has as an adapter. Errors wrap
// ErrConfig or tensor.ErrMemory.
func NewTrainer(ctx context.Context, r *transformer.Run, m Method, c TrainConfig) (*Trainer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	t, err := newTrainer(ctx, m.Params(), c)
	if err != nil {
		return nil, err
	}
	t.run = r
	return t, nil
}

// newTrainer allocates the optimizer.
func newTrainer(ctx context.Context, p *Params, c TrainConfig) (*Trainer, error) {
	t := &Trainer{params: p, config: c, state: &scratch{backend: p.backend}, norm: &scratch{backend: p.backend}}
	t.sums = t.norm.new("norm.sums", normParts*len(p.Groups))
	t.clip = t.norm.new("norm.clip", 2)
	kind, err := c.Optimizer.index()
	if err == nil {
		t.update = rules[kind].make(ctx, t.state, p, c)
	}
	if err = errors.Join(err, t.norm.err, t.state.err); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	for i := range p.Groups {
		part, err := t.sums.Slice(i*normParts, (i+1)*normParts)
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		t.parts = append(t.parts, part)
	}
	return t, nil
}

// OptimizerMemory returns how many bytes a Trainer allocates for a method. Errors wrap
// ErrConfig or tensor.ErrMemory.
func OptimizerMemory(ctx context.Context, m Method, o Optimizer) (int64, error) {
	p := m.Params()
	before := p.backend.Memory().InUse
	t, err := newTrainer(ctx, p, TrainConfig{Optimizer: o})
	if err != nil {
		return 0, err
	}
	n := p.backend.Memory().InUse - before
	return n, t.Close()
}

// Done returns how many steps have been taken.
func (t *Trainer) Done() int { return t.done }

// Config returns the settings, with defaults filled in.
func (t *Trainer) Config() TrainConfig { return t.config }

// Close frees the optimizer's memory. A second call does nothing.
func (t *Trainer) Close() error { return errors.Join(t.norm.close(), t.state.close()) }

// Tensors returns what steps change, by name: "param." and a parameter's name, "optim."
// and what the optimizer remembers. With the number of steps, they are the whole state:
// a Trainer with the same tensors after Resume goes on with the same bits.
func (t *Trainer) Tensors() map[string]*tensor.Tensor {
	all := map[string]*tensor.Tensor{}
	for _, q := range t.params.List {
		all["param."+q.Name] = q.Value
	}
	for _, x := range t.state.tensors {
		all["optim."+x.Name] = x
	}
	return all
}

// Resume says that steps have been taken elsewhere, with what Tensors holds now as the
// result. The error wraps ErrConfig.
func (t *Trainer) Resume(done int) error {
	if done < 0 {
		return fmt.Errorf("%d steps are done: %w", done, ErrConfig)
	}
	t.done = done
	return nil
}

// Step takes a step with the batches that it accumulates gradients over, weighted by
// their number of targets as if they were one batch. Batches hold real tokens; Step puts
// the run's virtual ones in front. A loss or a gradient that isn't finite is an error that
// wraps ErrDiverged, names the tensor where it can be found, and leaves the parameters as
// they were.
func (t *Trainer) Step(ctx context.Context, batches []transformer.Batch) (Step, error) {
	s, err := t.step(ctx, batches)
	if err != nil {
		return s, fmt.Errorf("step %d: %w", s.Step, err)
	}
	t.done++
	return s, nil
}

func (t *Trainer) step(ctx context.Context, batches []transformer.Batch) (Step, error) {
	start := time.Now()
	at := t.done + 1
	s := Step{Step: at, LR: t.config.rate(t.done)}
	prompted := make([]transformer.Batch, len(batches))
	for i, b := range batches {
		b.Dropout = t.config.dropout(at, i)
		prompted[i] = t.run.WithPrompt(b)
		s.Targets += prompted[i].Targets()
		for _, ids := range b.IDs {
			s.Tokens += len(ids)
		}
	}
	if s.Targets == 0 {
		return s, fmt.Errorf("no token of the batch has a label: %w", transformer.ErrInput)
	}
	if err := t.zero(ctx); err != nil {
		return s, err
	}
	for _, b := range prompted {
		loss, err := t.accumulate(ctx, b, s.Targets)
		if err != nil {
			return s, err
		}
		s.Loss += loss / float64(s.Targets)
	}
	var err error
	if s.GradNorm, err = t.measure(ctx); err != nil {
		return s, err
	}
	if !finite(s.GradNorm) {
		return s, t.explain(ctx, "gradient's norm", s.GradNorm)
	}
	p := tensor.Begin(t.params.backend)
	t.update(p, t.clip, at, s.LR)
	if err := p.Submit(ctx); err != nil {
		return s, err
	}
	s.Duration = time.Since(start)
	return s, nil
}

// accumulate adds the gradient of one batch, and returns the sum of its losses.
func (t *Trainer) accumulate(ctx context.Context, b transformer.Batch, targets int) (float64, error) {
	if err := t.run.Forward(ctx, b); err != nil {
		return 0, err
	}
	loss, err := t.run.LossAndBackward(ctx, 1/float32(targets))
	if err == nil && !finite(loss.Sum) {
		err = t.explain(ctx, "loss", loss.Sum)
	}
	return loss.Sum, err
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// zero clears the gradients.
func (t *Trainer) zero(ctx context.Context) error {
	p := tensor.Begin(t.params.backend)
	for _, g := range t.params.Groups {
		p.Do(tensor.Fill{Out: g.Grad})
	}
	return p.Submit(ctx)
}

// measure computes the gradient's norm before clipping, and the factor that clips it.
func (t *Trainer) measure(ctx context.Context) (float64, error) {
	p := tensor.Begin(t.params.backend)
	for i, g := range t.params.Groups {
		p.Do(tensor.SumSquares{Out: t.parts[i], X: g.Grad})
	}
	p.Do(tensor.ClipNorm{Clip: t.clip, Sums: t.sums, Max: float32(t.config.MaxGradNorm)})
	if err := p.Submit(ctx); err != nil {
		return 0, err
	}
	clip, err := tensor.Floats(ctx, t.params.backend, t.clip)
	if err != nil {
		return 0, err
	}
	return float64(clip[0]), nil
}

// explain makes the error of a loss or norm that isn't finite: it looks for the first
// tensor that holds such a number, among the parameters, the model's weights, and the
// gradients.
func (t *Trainer) explain(ctx context.Context, what string, value float64) error {
	name, err := t.culprit(ctx)
	if err != nil {
		return err
	}
	if name != "" {
		name = ": " + name
	}
	return fmt.Errorf("the %s is %v%s (try a lower --lr): %w", what, value, name, ErrDiverged)
}

// culprit describes the first tensor with a number that isn't finite, "" if there is none.
func (t *Trainer) culprit(ctx context.Context) (string, error) {
	type suspect struct {
		name string
		t    *tensor.Tensor
	}
	var all []suspect
	for _, q := range t.params.List {
		all = append(all, suspect{q.Name, q.Value})
	}
	for w := range t.run.Model().Tensors() {
		if w.DType == tensor.F32 {
			all = append(all, suspect{"the model's " + w.Name, w})
		}
	}
	for _, q := range t.params.List {
		all = append(all, suspect{"the gradient of " + q.Name, q.Grad})
	}
	for _, s := range all {
		values, err := tensor.Floats(ctx, t.params.backend, s.t)
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(values, func(x float32) bool { return !finite(float64(x)) }); i >= 0 {
			return fmt.Sprintf("%s holds %v", s.name, values[i]), nil
		}
	}
	return "", nil
}
