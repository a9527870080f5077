package peft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
)

// Params are a method's parameters.
type Params struct {
	List []Param
	// Groups hold the parameters behind each other, as few tensors as possible.
	Groups  []Group
	backend tensor.Backend
}

// Param is one parameter.
type Param struct {
	Name        string // as in a file
	Shape       []int
	Value, Grad *tensor.Tensor // views of a group's
	lr          float64        // its group's
}

// Group are parameters that the optimizer treats alike. Each starts at a multiple of 256
// values, so that a GPU can bind it alone and blocks of 8-bit moments are those of one
// parameter; the gaps hold zeros and stay zero.
type Group struct {
	Value, Grad *tensor.Tensor // [total]
	LR          float64        // factor of the learning rate
}

// starting sets a parameter's starting values.
type starting func(ctx context.Context, dst []float32) error

// spec describes a parameter before it is allocated.
type spec struct {
	name  string
	shape []int
	init  starting // nil: zeros
	lr    float64  // factor of the learning rate; 0 means 1
}

func (s spec) len() int {
	n := 1
	for _, d := range s.shape {
		n *= d
	}
	return n
}

func (s spec) rate() float64 {
	if s.lr == 0 {
		return 1
	}
	return s.lr
}

const paramAlign = tensor.MomentBlock

func (s spec) padded() int { return (s.len() + paramAlign - 1) / paramAlign * paramAlign }

// place is where a parameter lies.
type place struct{ group, first int }

// layOut gives each parameter a place in a group of its learning rate that is no larger
// than a tensor may be, and returns the groups' sizes.
func layOut(specs []spec, most int) (places []place, sizes []int, rates []float64) {
	for _, s := range specs {
		i := len(rates) - 1
		for i >= 0 && rates[i] != s.rate() {
			i--
		}
		if i < 0 || sizes[i]+s.padded() > most {
			i = len(rates)
			rates, sizes = append(rates, s.rate()), append(sizes, 0)
		}
		places = append(places, place{i, sizes[i]})
		sizes[i] += s.padded()
	}
	return places, sizes, rates
}

// newParams allocates and initialises parameters.
func newParams(ctx context.Context, b tensor.Backend, specs []spec) (*Params, error) {
	if len(specs) == 0 {
		return nil, fmt.Errorf("nothing to train: %w", ErrConfig)
	}
	most := math.MaxInt
	if limit := b.Limits().MaxTensorBytes; limit > 0 {
		most = int(limit / 4)
	}
	places, sizes, rates := layOut(specs, most)
	p := &Params{backend: b}
	for i, size := range sizes {
		g := Group{LR: rates[i]}
		var err error
		if g.Value, err = b.New("adapter", tensor.F32, size); err == nil {
			g.Grad, err = b.New("adapter.grad", tensor.F32, size)
		}
		p.Groups = append(p.Groups, g)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	for i, s := range specs {
		q, err := p.fill(ctx, s, places[i])
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.List = append(p.List, q)
	}
	return p, nil
}

// fill makes a parameter's views and gives it its starting values.
func (p *Params) fill(ctx context.Context, s spec, at place) (Param, error) {
	q := Param{Name: s.name, Shape: slices.Clone(s.shape), lr: s.rate()}
	g := p.Groups[at.group]
	var err error
	if q.Value, err = part(g.Value, at.first, s); err != nil {
		return q, err
	}
	if q.Grad, err = part(g.Grad, at.first, s); err != nil || s.init == nil || planned(p.backend) {
		return q, err
	}
	values := make([]float32, s.len())
	if err := s.init(ctx, values); err != nil {
		return q, fmt.Errorf("%s: %w", s.name, err)
	}
	return q, tensor.WriteFloats(ctx, p.backend, q.Value, values)
}

// planned says whether a backend has no memory: then there are no values.
func planned(b tensor.Backend) bool {
	_, ok := b.(*tensor.Plan)
	return ok
}

func part(flat *tensor.Tensor, first int, s spec) (*tensor.Tensor, error) {
	t, err := flat.Slice(first, first+s.len())
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

// Write gives all parameters values, in the order of List. Errors wrap tensor.ErrShape.
func (p *Params) Write(ctx context.Context, values [][]float32) error {
	if len(values) != len(p.List) {
		return fmt.Errorf("values of %d parameters, want %d: %w", len(values), len(p.List), tensor.ErrShape)
	}
	for i, q := range p.List {
		if err := tensor.WriteFloats(ctx, p.backend, q.Value, values[i]); err != nil {
			return fmt.Errorf("%s: %w", q.Name, err)
		}
	}
	return nil
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
func (p *Params) Close() error {
	var err error
	for _, g := range p.Groups {
		err = errors.Join(err, g.Value.Close(), g.Grad.Close())
	}
	return err
}
