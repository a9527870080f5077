package peft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// Params are a method's parameters and, behind each other in the same order, their
// gradients. Each starts at a multiple of 64 values, so that a GPU can bind it
// alone; the gaps hold zeros and stay zero.
type Params struct {
	List []Param
	// Value and Grad hold all parameters: [total].
	Value, Grad *tensor.Tensor
	backend     tensor.Backend
}

// Param is one parameter.
type Param struct {
	Name        string // of the module, as the method defines it
	Shape       []int
	Value, Grad *tensor.Tensor // views of Params.Value and Params.Grad
}

// spec describes a parameter before it is allocated.
type spec struct {
	name  string
	shape []int
	init  []float32
}

const paramAlign = 64

// newParams allocates and initialises parameters.
func newParams(ctx context.Context, b tensor.Backend, specs []spec) (*Params, error) {
	starts, total := make([]int, len(specs)), 0
	for i, s := range specs {
		starts[i] = total
		total += (len(s.init) + paramAlign - 1) / paramAlign * paramAlign
	}
	if total == 0 {
		return nil, fmt.Errorf("nothing to train: %w", ErrConfig)
	}
	flat := make([]float32, total)
	for i, s := range specs {
		copy(flat[starts[i]:], s.init)
	}
	p := &Params{backend: b}
	var err error
	if p.Value, err = tensor.FromFloats(ctx, b, "adapter", flat, total); err != nil {
		return nil, err
	}
	if p.Grad, err = b.New("adapter.grad", tensor.F32, total); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	for i, s := range specs {
		q := Param{Name: s.name, Shape: slices.Clone(s.shape)}
		q.Value, err = part(p.Value, starts[i], len(s.init), s)
		if err == nil {
			q.Grad, err = part(p.Grad, starts[i], len(s.init), s)
		}
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.List = append(p.List, q)
	}
	return p, nil
}

func part(flat *tensor.Tensor, first, n int, s spec) (*tensor.Tensor, error) {
	t, err := flat.Slice(first, first+n)
	if err != nil {
		return nil, err
	}
	if t, err = t.Reshape(s.shape...); err != nil {
		return nil, err
	}
	t.Name = s.name
	return t, nil
}

// Count returns the number of trainable values.
func (p *Params) Count() int {
	n := 0
	for _, q := range p.List {
		n += q.Value.Len()
	}
	return n
}

// Read returns the values of all parameters, in the order of List.
func (p *Params) Read(ctx context.Context) ([][]float32, error) {
	values := make([][]float32, len(p.List))
	for i, q := range p.List {
		v, err := tensor.Floats(ctx, p.backend, q.Value)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

// checkFinite names the first parameter that holds a NaN or an infinity.
func (p *Params) checkFinite(values [][]float32) error {
	for i, v := range values {
		for _, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("%s holds %v: %w", p.List[i].Name, x, ErrDiverged)
			}
		}
	}
	return nil
}

// Close frees the tensors.
func (p *Params) Close() error { return errors.Join(p.Value.Close(), p.Grad.Close()) }
