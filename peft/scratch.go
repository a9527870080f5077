package peft

import (
	"context"
	"errors"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// scratch allocates what a method needs beside its parameters, for one run. It keeps
// its first error, and returns nil after that.
type scratch struct {
	backend tensor.Backend
	run     *transformer.Run
	tensors []*tensor.Tensor
	common  map[string]*tensor.Tensor
	err     error
}

// new makes a tensor of floats.
func (s *scratch) new(name string, shape ...int) *tensor.Tensor {
	return s.typed(name, tensor.F32, shape...)
}

// typed makes a tensor.
func (s *scratch) typed(name string, dt tensor.DType, shape ...int) *tensor.Tensor {
	if s.err != nil {
		return nil
	}
	t, err := s.backend.New(name, dt, shape...)
	if err != nil {
		s.err = err
		return nil
	}
	s.tensors = append(s.tensors, t)
	return t
}

// filled makes a tensor of given values.
func (s *scratch) filled(ctx context.Context, name string, values []float32) *tensor.Tensor {
	t := s.new(name, len(values))
	if s.err == nil && !planned(s.backend) {
		s.err = tensor.WriteFloats(ctx, s.backend, t, values)
	}
	return t
}

// shared returns room for n values under a name, the same for everybody: contents are
// lost between two operations of different owners.
func (s *scratch) shared(name string, n int) *tensor.Tensor {
	if s.common == nil {
		s.common = map[string]*tensor.Tensor{}
	}
	if t := s.common[name]; t == nil || t.Len() < n {
		s.common[name] = s.new(name, n)
	}
	return s.common[name]
}

// kept is room for what a projection's Forward leaves for its Backward, [capacity,
// size]: one for all layers where that is enough, or none where there is no Backward.
func (s *scratch) kept(name string, proj transformer.Proj, size int) *tensor.Tensor {
	if !s.run.Trains() || s.run.Recomputes(proj) {
		return s.shared(name+"."+proj.String(), s.run.Capacity()*size)
	}
	return s.new(name, s.run.Capacity()*size)
}

// close frees everything.
func (s *scratch) close() error {
	var err error
	for _, t := range s.tensors {
		err = errors.Join(err, t.Close())
	}
	s.tensors = nil
	return err
}

// shaped returns the leading values of t as another shape.
func shaped(p *tensor.Pass, t *tensor.Tensor, shape ...int) *tensor.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v, err := t.Reshape(t.Len())
	if err == nil {
		v, err = v.Slice(0, n)
	}
	if err == nil {
		v, err = v.Reshape(shape...)
	}
	if err != nil {
		p.Fail(err)
	}
	return v
}
