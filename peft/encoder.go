package peft

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
)

// Pieces of the small networks that some methods train: each is recorded forward, and
// backward with the gradients of its parameters added up.

// dense is out = W·x + b, as torch.nn.Linear.
type dense struct{ w, b Param } // [O, I], [O]

// denseSpecs are its parameters, between ±1/√in at the start as in PyTorch.
func denseSpecs(name string, out, in int, rng *rand.Rand) []spec {
	bound := 1 / math.Sqrt(float64(in))
	return []spec{
		{name: name + ".weight", shape: []int{out, in}, init: uniform(rng, bound)},
		{name: name + ".bias", shape: []int{out}, init: uniform(rng, bound)},
	}
}

func (m *method) dense(name string) dense {
	return dense{m.param(name + ".weight"), m.param(name + ".bias")}
}

// out and in are the sizes of the rows.
func (d dense) out() int { return d.w.Shape[0] }
func (d dense) in() int  { return d.w.Shape[1] }

func (d dense) forward(p *tensor.Pass, out, x *tensor.Tensor) {
	broadcast(p, out, d.b.Value, false)
	p.Do(tensor.MatMul{Out: out, X: x, W: d.w.Value, Add: true})
}

// broadcast sets all rows of out to b, or adds it.
func broadcast(p *tensor.Pass, out, b *tensor.Tensor, add bool) {
	p.Do(tensor.Copy{Dst: out, Src: shaped(p, b, 1, b.Len()), Batch: out.Rows(), Rows: 1, DstStride: 1, Add: add})
}

// backward leaves dx out if it is nil.
func (d dense) backward(p *tensor.Pass, dx, dout, x *tensor.Tensor) {
	p.Do(tensor.MatMulDW{DW: d.w.Grad, DOut: dout, X: x, Add: true}, tensor.ColumnSums{Out: d.b.Grad, A: dout, Add: true})
	if dx != nil {
		p.Do(tensor.MatMulDX{DX: dx, DOut: dout, W: d.w.Value})
	}
}

// layers is a chain of dense layers with an activation between them.
type layers struct {
	dense []dense
	act   tensor.Activation
	x     []*tensor.Tensor // the input of each layer, and the last one's output
	pre   []*tensor.Tensor // what the activations are taken of
	dx    []*tensor.Tensor // the gradients of x
	dpre  []*tensor.Tensor
}

// newLayers makes room for so many rows. The first input is given.
func (s *scratch) newLayers(rows int, first *tensor.Tensor, act tensor.Activation, list ...dense) *layers {
	l := &layers{dense: list, act: act, x: []*tensor.Tensor{first}, dx: []*tensor.Tensor{s.new("encoder.dx", rows, list[0].in())}}
	for i, d := range list {
		last := i == len(list)-1
		l.x, l.dx = append(l.x, s.new("encoder.x", rows, d.out())), append(l.dx, s.new("encoder.dx", rows, d.out()))
		if !last {
			l.pre, l.dpre = append(l.pre, s.new("encoder.pre", rows, d.out())), append(l.dpre, s.new("encoder.dpre", rows, d.out()))
		}
	}
	return l
}

// out is the result, and dout its gradient, which the backward pass reads.
func (l *layers) out() *tensor.Tensor  { return l.x[len(l.x)-1] }
func (l *layers) dout() *tensor.Tensor { return l.dx[len(l.dx)-1] }

func (l *layers) forward(p *tensor.Pass) {
	for i, d := range l.dense {
		if i == len(l.dense)-1 {
			d.forward(p, l.x[i+1], l.x[i])
			return
		}
		d.forward(p, l.pre[i], l.x[i])
		p.Do(tensor.Gated{Out: l.x[i+1], Gate: l.pre[i], Act: l.act})
	}
}

// backward leaves the gradient of the first input in dx[0].
func (l *layers) backward(p *tensor.Pass) {
	for i := len(l.dense) - 1; i >= 0; i-- {
		dout := l.dx[i+1]
		if i < len(l.dense)-1 {
			p.Do(tensor.GatedBackward{DGate: l.dpre[i], DOut: l.dx[i+1], Gate: l.pre[i], Act: l.act})
			dout = l.dpre[i]
		}
		l.dense[i].backward(p, l.dx[i], dout, l.x[i])
	}
}

// addGrad adds a gradient to a parameter's.
func addGrad(p *tensor.Pass, q Param, d *tensor.Tensor) {
	p.Do(tensor.Scale{Out: q.Grad, X: d, Factor: 1, Add: true})
}

// evaluated runs f on a scratch of its own and returns what it gives.
func (m *method) evaluated(ctx context.Context, f func(p *tensor.Pass, s *scratch) *tensor.Tensor) (Matrix, error) {
	s := &scratch{backend: m.model.Backend()}
	defer s.close()
	p := tensor.Begin(s.backend)
	t := f(p, s)
	if s.err != nil {
		return Matrix{}, s.err
	}
	if err := p.Submit(ctx); err != nil {
		return Matrix{}, err
	}
	values, err := tensor.Floats(ctx, s.backend, t)
	return Matrix{t.Shape, values}, err
}
