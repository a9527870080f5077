package circuits

import (
	"context"
	"errors"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/peft"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// ErrConfig is wrapped by errors about sizes that an example can't have.
var ErrConfig = errors.New("unusable example")

// Task is what a toy is trained to do.
type Task struct {
	Toy       transformer.Toy
	Deviation float64 // standard deviation of the first weights
	// Batch makes fresh data; Size and Length bound its sequences and their tokens.
	Batch        func(rng *rand.Rand) transformer.Batch
	Size, Length int
	Train        peft.TrainConfig
	Seed         uint64 // of weights and data
}

// attention is a toy of attention alone, with learned positions.
func attention(vocab, positions, width, layers, heads int) transformer.Toy {
	return transformer.Toy{
		Vocab: vocab, Positions: positions, Width: width, Layers: layers, Heads: heads, HeadDim: width / heads,
		Norm: "none", Position: "learned",
	}
}

// deviation is that of the first weights of Gross et al. 2024.
func deviation(width int) float64 { return 0.8 / math.Sqrt(float64(width)) }

// sizes are fields of an example with what 0 means there.
type sizes []struct {
	field *int
	value int
}

func (s sizes) fill() {
	for _, f := range s {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
}

// Training is a toy in training. It belongs to one goroutine; Close frees its memory.
type Training struct {
	task   Task
	first  *transformer.Checkpoint // with the first weights
	model  *transformer.Model
	method peft.Method
	run    *transformer.Run
}

// Start makes the toy with its first weights on a backend.
func (t Task) Start(ctx context.Context, b tensor.Backend) (*Training, error) {
	config, err := t.Toy.ConfigJSON()
	if err != nil {
		return nil, err
	}
	x := &Training{task: t}
	if x.first, err = transformer.Random(config, t.Deviation, t.Seed); err != nil {
		return nil, err
	}
	if x.model, err = x.first.Load(ctx, b, transformer.LoadOptions{}); err != nil {
		return nil, err
	}
	x.method, err = peft.New(ctx, x.model, peft.FullConfig{})
	if err == nil {
		x.run, err = x.model.NewRun(transformer.RunOptions{Batch: t.Size, Length: t.Length, Train: true, Adapters: []transformer.Adapter{x.method}})
	}
	if err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// Params returns the number of trained values.
func (x *Training) Params() int { return x.method.Params().Count() }

// Steps trains, a step for each element; see peft.Train.
func (x *Training) Steps(ctx context.Context) iter.Seq2[peft.Step, error] {
	rng := rand.New(rand.NewPCG(x.task.Seed, 1))
	data := func(yield func([]transformer.Batch, error) bool) {
		for yield([]transformer.Batch{x.task.Batch(rng)}, nil) {
		}
	}
	return peft.Train(ctx, x.run, x.method, data, x.task.Train)
}

// Checkpoint returns the toy as it is now. It needs the Training no more.
func (x *Training) Checkpoint(ctx context.Context) (*transformer.Checkpoint, error) {
	return peft.Merge(ctx, x.first, x.method)
}

// Close frees everything. A second call does nothing.
func (x *Training) Close() error {
	var err error
	if x.run != nil {
		err = x.run.Close()
	}
	if x.method != nil {
		err = errors.Join(err, x.method.Close())
	}
	return errors.Join(err, x.model.Close())
}
