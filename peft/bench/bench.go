package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Part is a kind of measurement.
type Part string

// The parts, in the order in which they are measured.
const (
	Kernels Part = "kernels" // single operations with the model's shapes
	Forward Part = "forward" // the loss of a batch
	Prefill Part = "prefill" // the next token's logits behind one sequence
	Step    Part = "step"    // an optimizer step of LoRA r 8 on q_proj and v_proj
	Prompt  Part = "prompt"  // an optimizer step of a soft prompt of 20 tokens
	Decode  Part = "decode"  // greedy generation, one sequence
)

// Parts are all parts.
var Parts = []Part{Kernels, Forward, Prefill, Step, Prompt, Decode}

// Config says what to measure. Zero values mean what the comments say.
type Config struct {
	Shape         string        // a name of Shapes; "" is smollm2-135m
	Layers        int           // 0: as many as the model has
	DType         tensor.DType  // of the matrices
	Batch, Length int           // of forward and step; 0: 4 sequences of 128 tokens
	Time          time.Duration // for each measurement, more or less; 0: 300 ms
	Parts         []Part        // nil: all
	Checkpoint    bool          // steps keep only the stream between layers
	Profile       bool          // one more call of each pass, in which every kernel is timed
}

func (c Config) withDefaults() Config {
	if c.Shape == "" {
		c.Shape = "smollm2-135m"
	}
	if c.Batch == 0 {
		c.Batch = 4
	}
	if c.Length == 0 {
		c.Length = 128
	}
	if c.Time == 0 {
		c.Time = 300 * time.Millisecond
	}
	if c.Parts == nil {
		c.Parts = Parts
	}
	return c
}

// Result is one measurement. Rates are by the median of the calls.
type Result struct {
	Part    Part          `json:"part"`
	Name    string        `json:"name"`
	Calls   int           `json:"calls"`
	Median  time.Duration `json:"median_ns"` // of one call
	Best    time.Duration `json:"best_ns"`
	CPU     time.Duration `json:"cpu_ns,omitempty"`  // median of the processor time of a call, of all threads
	Flops   float64       `json:"flops,omitempty"`   // of one call
	Bytes   float64       `json:"bytes,omitempty"`   // of the operands of one call, each counted once
	Tokens  int           `json:"tokens,omitempty"`  // of one call
	Memory  int64         `json:"memory,omitempty"`  // in use, in bytes
	Dropped string        `json:"dropped,omitempty"` // why it was left out
	Kernels []Kernel      `json:"kernels,omitempty"` // with Config.Profile: where the time of a call goes
	// Products are, of optimizer steps, the products of matrices among it.
	Products *Products `json:"products,omitempty"`
}

// GFlops is operations a second in thousands of millions.
func (r Result) GFlops() float64 { return r.Flops / r.Median.Seconds() / 1e9 }

// GBytes is bytes a second in thousands of millions.
func (r Result) GBytes() float64 { return r.Bytes / r.Median.Seconds() / 1e9 }

// TokensPerSecond is tokens a second.
func (r Result) TokensPerSecond() float64 { return float64(r.Tokens) / r.Median.Seconds() }

// Run measures part by part.
func Run(ctx context.Context, b tensor.Backend, c Config) iter.Seq2[Result, error] {
	c = c.withDefaults()
	return func(yield func(Result, error) bool) {
		for _, part := range Parts {
			if !slices.Contains(c.Parts, part) {
				continue
			}
			measure := func(yield func(Result, error) bool) { yield(pass(ctx, b, part, c)) }
			if part == Kernels {
				measure = kernels(ctx, b, c)
			}
			for r, err := range measure {
				r.Part = part
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// pass measures a whole pass of the model.
func pass(ctx context.Context, b tensor.Backend, part Part, c Config) (r Result, err error) {
	var l *listener // of steps; it hides what a backend can do besides
	if part == Step || part == Prompt {
		l = &listener{Backend: b}
		b = l
	}
	checkpoint, err := Model(c.Shape, c.Layers, c.DType)
	if err != nil {
		return Result{}, err
	}
	m, err := checkpoint.Load(ctx, b, transformer.LoadOptions{})
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	j, err := jobs[part](ctx, m, c)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.repeat(c.Time); err != nil {
		return j.Result, err
	}
	j.Memory = b.Memory().Peak
	if c.Profile {
		if j.Kernels, err = profile(ctx, b, j); err != nil {
			return j.Result, err
		}
	}
	if l != nil {
		j.Products, err = l.alone(ctx, part, j, c.Time)
	}
	return j.Result, err
}

// Dry does the passes among the parts of c on a backend that computes nothing, such as a
// [github.com/gpupeft/gpupeft/gpu.Plan], with a model of which nothing is made. Each is
// done once for what later ones reuse, and once more by run.
func Dry(ctx context.Context, b tensor.Backend, c Config, run func(r Result, once func() error) error) error {
	c = c.withDefaults()
	for _, part := range Parts {
		if part == Kernels || !slices.Contains(c.Parts, part) {
			continue
		}
		if err := dry(ctx, b, part, c, run); err != nil {
			return err
		}
	}
	return nil
}

func dry(ctx context.Context, b tensor.Backend, part Part, c Config, run func(r Result, once func() error) error) (err error) {
	checkpoint, err := Model(c.Shape, c.Layers, c.DType)
	if err != nil {
		return err
	}
	m, err := checkpoint.Plan(b, transformer.LoadOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	j, err := jobs[part](ctx, m, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	once := func() error { return j.call(func() {}) }
	if err := once(); err != nil {
		return err
	}
	j.Part, j.Memory = part, b.Memory().InUse
	return run(j.Result, once)
}

// A job is a pass that can be done again and again.
type job struct {
	Result
	laps  bool // what counts are the laps of a call, but the first of each
	call  func(lap func()) error
	close func() error
}

var jobs = map[Part]func(context.Context, *transformer.Model, Config) (*job, error){
	Forward: forward, Prefill: prefill, Step: step, Prompt: prompt, Decode: decode,
}

// weights counts the values of the matrices that every token passes.
func weights(m *transformer.Model) float64 {
	n := 0
	for t := range m.Tensors() {
		if len(t.Shape) == 2 && t != m.Weights.Embed {
			n += t.Len()
		}
	}
	if m.Config.Tied {
		n += m.Weights.Embed.Len()
	}
	return float64(n)
}

// batch is of random tokens, all of which have a loss.
func batch(m *transformer.Model, c Config) transformer.Batch {
	rng := rand.New(rand.NewPCG(2, 0))
	var b transformer.Batch
	for range c.Batch {
		ids := make([]int32, c.Length)
		for i := range ids {
			ids[i] = int32(rng.IntN(m.Config.VocabSize))
		}
		b.IDs = append(b.IDs, ids)
	}
	b.Labels = b.IDs
	return b
}

func forward(ctx context.Context, m *transformer.Model, c Config) (*job, error) {
	run, err := m.NewRun(transformer.RunOptions{Batch: c.Batch, Length: c.Length})
	if err != nil {
		return nil, err
	}
	b := batch(m, c)
	j := &job{close: run.Close}
	j.Name, j.Tokens = fmt.Sprintf("loss of %d×%d tokens", c.Batch, c.Length), c.Batch*c.Length
	j.Flops = 2 * weights(m) * float64(j.Tokens)
	j.call = func(func()) error {
		if err := run.Forward(ctx, b); err != nil {
			return err
		}
		_, err := run.Loss(ctx)
		return err
	}
	return j, nil
}

func prefill(ctx context.Context, m *transformer.Model, c Config) (*job, error) {
	run, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: c.Length, Context: c.Length + 1})
	if err != nil {
		return nil, err
	}
	c.Batch = 1
	ids := batch(m, c).IDs[0]
	j := &job{close: run.Close}
	j.Name, j.Tokens = fmt.Sprintf("prompt of %d tokens", c.Length), c.Length
	j.Flops = 2 * (weights(m) - float64(m.Weights.Embed.Len())) * float64(j.Tokens)
	j.call = func(func()) error {
		for _, err := range run.Generate(ctx, ids, transformer.Generation{MaxTokens: 1}) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	return j, nil
}

func step(ctx context.Context, m *transformer.Model, c Config) (*job, error) {
	return training(ctx, m, c, peft.LoRAConfig{}, "LoRA r 8 on q, v")
}

func prompt(ctx context.Context, m *transformer.Model, c Config) (*job, error) {
	return training(ctx, m, c, peft.PromptConfig{}, "soft prompt of 20")
}

// training is optimizer steps of a method. Virtual tokens are computed but not counted.
func training(ctx context.Context, m *transformer.Model, c Config, of peft.Config, name string) (*job, error) {
	method, err := peft.New(ctx, m, of)
	if err != nil {
		return nil, err
	}
	length := method.VirtualTokens() + c.Length
	run, err := m.NewRun(transformer.RunOptions{
		Batch: c.Batch, Length: length, Train: true,
		GradCheckpoint: c.Checkpoint, Adapters: []transformer.Adapter{method},
	})
	if err != nil {
		return nil, errors.Join(err, method.Close())
	}
	b := batch(m, c) // Train puts the virtual tokens in front
	j := &job{}
	j.Name, j.Tokens = fmt.Sprintf("%s, %d×%d tokens", name, c.Batch, c.Length), c.Batch*c.Length
	j.Flops = 4 * weights(m) * float64(c.Batch*length)
	data := func(yield func([]transformer.Batch, error) bool) {
		for yield([]transformer.Batch{b}, nil) {
		}
	}
	next, stop := iter.Pull2(peft.Train(ctx, run, method, data, peft.TrainConfig{Steps: 1 << 30, LR: 1e-3}))
	j.call = func(func()) error {
		_, err, _ := next()
		return err
	}
	j.close = func() error {
		stop()
		return errors.Join(run.Close(), method.Close())
	}
	return j, nil
}

// DecodeTokens is the number of tokens that one call of [Decode] makes, behind a prompt of
// as many.
const DecodeTokens = 32

func decode(ctx context.Context, m *transformer.Model, c Config) (*job, error) {
	run, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: DecodeTokens, Context: 2 * DecodeTokens})
	if err != nil {
		return nil, err
	}
	c.Batch, c.Length = 1, DecodeTokens
	ids := batch(m, c).IDs[0]
	j := &job{laps: true, close: run.Close}
	j.Name, j.Tokens, j.Flops = fmt.Sprintf("one token of %d", DecodeTokens), 1, 2*weights(m)
	for t := range m.Tensors() {
		if len(t.Shape) == 2 && (t != m.Weights.Embed || m.Config.Tied) {
			j.Bytes += float64(t.Bytes())
		}
	}
	j.call = func(lap func()) error {
		for _, err := range run.Generate(ctx, ids, transformer.Generation{MaxTokens: DecodeTokens}) {
			if err != nil {
				return err
			}
			lap()
		}
		return nil
	}
	return j, nil
}

// repeat times calls, or their laps.
func (j *job) repeat(budget time.Duration) error {
	if !j.laps {
		return j.Result.repeat(budget, func() error { return j.call(func() {}) })
	}
	if err := j.call(func() {}); err != nil {
		return err
	}
	var times, cpu []time.Duration
	for begin := time.Now(); len(times) == 0 || time.Since(begin) < budget; {
		var last time.Time
		var lastCPU time.Duration
		err := j.call(func() {
			now, nowCPU := time.Now(), cpuTime()
			if !last.IsZero() {
				times, cpu = append(times, now.Sub(last)), append(cpu, nowCPU-lastCPU)
			}
			last, lastCPU = now, nowCPU
		})
		if err != nil {
			return err
		}
	}
	j.of(times, cpu)
	return nil
}

// repeat calls once for warm-up and then until the time is over, at least three times.
func (r *Result) repeat(budget time.Duration, call func() error) error {
	if err := call(); err != nil {
		return err
	}
	var times, cpu []time.Duration
	for begin := time.Now(); len(times) < 3 || time.Since(begin) < budget; {
		start, startCPU := time.Now(), cpuTime()
		if err := call(); err != nil {
			return err
		}
		times, cpu = append(times, time.Since(start)), append(cpu, cpuTime()-startCPU)
	}
	r.of(times, cpu)
	return nil
}

// of takes the times of calls, by the clock and of the processor.
func (r *Result) of(times, cpu []time.Duration) {
	slices.Sort(times)
	slices.Sort(cpu)
	r.Calls, r.Best, r.Median, r.CPU = len(times), times[0], times[len(times)/2], cpu[len(cpu)/2]
}
