package interp

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Steering is a vector that is added to a hook at every token, times a factor.
type Steering struct {
	Hook   string
	Vector []float32 // of as many values as the hook has for a token
	Factor float32
}

// Steer adds vectors in any run, generation with a cache among them:
//
//	steer, err := interp.NewSteer(ctx, model, interp.Steering{Hook: "blocks.6.hook_resid_post", Vector: v, Factor: 4})
//	run, err := model.NewRun(transformer.RunOptions{Batch: 1, Length: 32, Context: 256, Hooks: steer.Hooks()})
type Steer struct {
	vectors map[transformer.Site][]*tensor.Tensor // [1, size]
}

// NewSteer puts vectors on the model's backend. Close frees them, after the runs.
func NewSteer(ctx context.Context, m *transformer.Model, vectors ...Steering) (*Steer, error) {
	s := &Steer{map[transformer.Site][]*tensor.Tensor{}}
	for _, v := range vectors {
		if err := s.add(ctx, m, v); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Steer) add(ctx context.Context, m *transformer.Model, v Steering) error {
	sites, err := matching(m.Config, len(m.Config.Layers), v.Hook)
	if err != nil {
		return err
	}
	for _, at := range sites {
		want := newLayout(m.Config, at.Point, 1, []int{0}, 1)
		if want.key >= 0 || want.size() != len(v.Vector) {
			return fmt.Errorf("steering vector of %d values for %v: %w", len(v.Vector), at, transformer.ErrInput)
		}
		scaled := make([]float32, len(v.Vector))
		for i, x := range v.Vector {
			scaled[i] = v.Factor * x
		}
		t, err := tensor.FromFloats(ctx, m.Backend(), "steering", scaled, 1, len(scaled))
		if err != nil {
			return err
		}
		s.vectors[at] = append(s.vectors[at], t)
	}
	return nil
}

// Hooks add the vectors; those of a nil Steer do nothing. Several runs may use them.
func (s *Steer) Hooks() transformer.Hooks {
	if s == nil {
		return transformer.Hooks{}
	}
	return transformer.Hooks{
		Tap: func(p *tensor.Pass, at transformer.Site, t *tensor.Tensor) {
			for _, v := range s.vectors[at] {
				n := t.Len() / v.Len()
				rows, err := t.Reshape(n, v.Len())
				if err != nil {
					p.Fail(err)
					return
				}
				p.Do(tensor.Copy{Dst: rows, Src: v, Batch: n, Rows: 1, DstStride: 1, Add: true})
			}
		},
		Edits: func(at transformer.Site) bool { return len(s.vectors[at]) > 0 },
	}
}

// Close frees the vectors.
func (s *Steer) Close() error {
	if s == nil {
		return nil
	}
	var err error
	for _, list := range s.vectors {
		for _, t := range list {
			err = errors.Join(err, t.Close())
		}
	}
	s.vectors = nil
	return err
}

// WriteSteering writes vectors as a safetensors file: a tensor for each hook.
func WriteSteering(w io.Writer, metadata map[string]string, vectors ...Steering) error {
	t := &Trace{Activations: map[string]Activation{}}
	for _, v := range vectors {
		scaled := make([]float32, len(v.Vector))
		for i, x := range v.Vector {
			scaled[i] = v.Factor * x
		}
		t.Activations[v.Hook] = Activation{[]int{len(scaled)}, scaled}
	}
	return t.Write(w, metadata)
}

// ReadSteering reads what WriteSteering has written; every factor is 1.
func ReadSteering(r io.ReaderAt, size int64) ([]Steering, error) {
	t, err := ReadTrace(r, size)
	if err != nil {
		return nil, err
	}
	var vectors []Steering
	for hook, a := range t.Activations {
		vectors = append(vectors, Steering{hook, a.Values, 1})
	}
	if len(vectors) == 0 {
		return nil, fmt.Errorf("no tensors: %w", transformer.ErrInput)
	}
	return vectors, nil
}
