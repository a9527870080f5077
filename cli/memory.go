package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// sizing are the settings that trade memory for time or precision.
type sizing struct {
	quant      tensor.DType // F32: as stored
	checkpoint bool
	micro      int // sequences that are computed together
}

// String gives the flags that choose it.
func (s sizing) String() string {
	flags := ""
	if s.quant.Quantized() {
		flags += " --quant " + s.quant.String()
	}
	if s.checkpoint {
		flags += " --grad-checkpoint"
	}
	return fmt.Sprintf("%s --micro-batch %d", flags, s.micro)[1:]
}

// memoryPlan is what a run of tune takes, in bytes.
type memoryPlan struct {
	Weights   int64 `json:"weights"`
	Adapter   int64 `json:"adapter"` // with its gradients and hidden values
	Optimizer int64 `json:"optimizer"`
	transformer.RunMemory
	Total   int64 `json:"total"`
	Largest int64 `json:"largest_tensor"`
	Limit   int64 `json:"limit,omitempty"` // 0: none is known
}

// sketch is a job's model and method on a backend that has no memory.
type sketch struct {
	plan   *tensor.Plan
	model  *transformer.Model
	method peft.Method
	memory memoryPlan // weights, and the method's parameters
}

// openSketch makes the sketch, and settles what depends on the method.
func (j *job) openSketch(c *cli.Context) (err error) {
	if j.sketch, err = j.newSketch(c, j.quant); err != nil {
		return err
	}
	p, was := j.plan, j.plan.method
	if p.initAdapter != "" {
		p.method = j.sketch.method.Config().Name()
	}
	if p.methodSet && was != p.method {
		return usagef("--method %s, but --init-adapter %s is %s", was, p.initAdapter, p.method)
	}
	if p.train.LR == 0 {
		p.train.LR = defaultLR(p.method, p.train.Optimizer, j.ckpt.Config.Hidden)
	}
	if p.train.MinLR > p.train.LR {
		return usagef("--min-lr %v: more than --lr, which is %v", p.train.MinLR, p.train.LR)
	}
	return nil
}

func (j *job) newSketch(c *cli.Context, quant tensor.DType) (*sketch, error) {
	s := &sketch{plan: tensor.NewPlan(j.backend.Limits())}
	var err error
	if s.model, err = j.ckpt.Plan(s.plan, transformer.LoadOptions{Quant: quant}); err != nil {
		return nil, fmt.Errorf("model %s: %w", j.name, err)
	}
	s.memory.Weights = s.plan.Memory().InUse
	if s.method, err = j.newMethod(c, s.model); err != nil {
		return nil, err
	}
	s.memory.Adapter = s.plan.Memory().InUse - s.memory.Weights
	s.memory.Largest = s.plan.Largest()
	return s, nil
}

// measure completes the plan for sequences of so many real tokens.
func (j *job) measure(ctx context.Context, s *sketch, length int, z sizing) (memoryPlan, error) {
	m, before := s.memory, s.plan.Memory().InUse
	r, err := s.model.NewRun(j.runOptions(s.method, length, z))
	if err != nil {
		return m, err
	}
	m.RunMemory = r.Memory()
	m.Adapter += s.plan.Memory().InUse - before - m.RunMemory.Total()
	m.Optimizer, err = peft.OptimizerMemory(ctx, s.method, j.plan.train.Optimizer)
	m.Total = m.Weights + m.Adapter + m.Optimizer + m.RunMemory.Total()
	m.Largest = s.plan.Largest()
	return m, errors.Join(err, r.Close())
}

// fitMemory chooses what is left to choose, and stops a run that would not fit before
// it starts.
func (j *job) fitMemory(c *cli.Context) error { return j.fit(c, j.longest()) }

func (j *job) fit(c *cli.Context, length int) error {
	p := j.plan
	limit := p.memoryLimit
	if limit == 0 && j.backend.Info().Kind == "cpu" {
		limit = availableMemory()
	}
	for {
		var err error
		if p.memory, err = j.measure(c.Context, j.sketch, length, p.sizing); err != nil {
			return err
		}
		p.memory.Limit = limit
		switch {
		case limit == 0 || p.memory.Total <= limit:
			p.loader.Micro = p.micro
			return nil
		case p.autoMicro && p.micro > 1:
			p.micro = (p.micro + 1) / 2
		default:
			return j.wouldNotFit(c, length)
		}
	}
}

// wouldNotFit says which flags would make the run fit.
func (j *job) wouldNotFit(c *cli.Context, length int) error {
	p := j.plan
	z := p.sizing
	text := fmt.Sprintf("the run would take %s, %s may be used (--memory-limit)", byteSize(p.memory.Total), byteSize(p.memory.Limit))
	for _, change := range []func(*sizing){
		func(z *sizing) { z.checkpoint = true },
		func(z *sizing) { z.micro = 1 },
		func(z *sizing) { z.quant = tensor.Q4_0 },
	} {
		change(&z)
		s, err := j.newSketch(c, z.quant)
		if err != nil {
			continue // it is quantized already, or its rows don't allow it
		}
		if m, err := j.measure(c.Context, s, length, z); err == nil && m.Total <= p.memory.Limit {
			return fmt.Errorf("%s: %s would take %s: %w", text, z, byteSize(m.Total), tensor.ErrMemory)
		}
	}
	return fmt.Errorf("%s: lower --max-seq-length %d, or take a smaller model: %w", text, length, tensor.ErrMemory)
}
