package peft

import (
	"context"
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// DoRA (Liu et al. 2024, arXiv 2402.09353) splits a weight with LoRA into directions
// and magnitudes m, one for each output, trained beside A and B:
//
//	out = g ⊙ (W·x + s·B·A·x)      g = m/‖W + s·B·A‖, the norm being that of rows
//
// and backward, the norm being held constant as in the paper and in PEFT:
//
//	dm += Σ dout·(W·x + s·B·A·x)/‖…‖    and LoRA's backward with g ⊙ dout
//
// At the start m = ‖W‖. W stays as it is stored: with ‖W‖² known, a norm costs a
// product of A with W only, since
//
//	‖W_o + s·B_o·A‖² = ‖W_o‖² + Σ_j B_oj·(2s·(A·Wᵀ)_jo + s²·(A·Aᵀ·Bᵀ)_jo)

func (s loraSite) m() string { return prefix + s.name + ".lora_magnitude_vector" }

// squares is the name of ‖W‖² among the method's own tensors.
func (s loraSite) squares() string { return s.name + ".squares" }

// magnitude is m, starting at the rows' norms.
func (s loraSite) magnitude(m *transformer.Model) spec {
	return spec{name: s.m(), shape: []int{s.out}, init: func(ctx context.Context, dst []float32) error {
		return eachRow(ctx, m, s.name+".weight", func(r int, row []float32) { dst[r] = float32(length(row)) })
	}}
}

// eachRow calls f with the rows of a weight, in float32.
func eachRow(ctx context.Context, m *transformer.Model, name string, f func(r int, row []float32)) error {
	if planned(m.Backend()) {
		return nil
	}
	w := m.Weight(name)
	step := max(1, 1<<20/w.Cols()/64) * 64 // rows that begin where any backend can read
	for lo := 0; lo < w.Rows(); lo += step {
		hi := min(lo+step, w.Rows())
		part, err := w.Slice(lo, hi)
		if err != nil {
			return err
		}
		data := make([]byte, part.Bytes())
		if err := m.Backend().Read(ctx, part, data); err != nil {
			return err
		}
		values := tensor.Unpack(nil, part.DType, data)
		for r := lo; r < hi; r++ {
			f(r, values[(r-lo)*w.Cols():][:w.Cols()])
		}
	}
	return nil
}

// doraConstants makes ‖W‖² of all targets.
func doraConstants(ctx context.Context, m *method, sites []loraSite) error {
	for _, s := range sites {
		squares := make([]float32, s.out)
		err := eachRow(ctx, m.model, s.name+".weight", func(r int, row []float32) { l := length(row); squares[r] = float32(l * l) })
		if err != nil {
			return err
		}
		t := m.owned.new(s.squares(), s.out)
		if m.owned.err != nil {
			return m.owned.err
		}
		if err := tensor.WriteFloats(ctx, m.model.Backend(), t, squares); err != nil {
			return err
		}
		if err := m.ownUnit(ctx, s.rank); err != nil {
			return err
		}
	}
	return nil
}

// ownUnit makes the unit matrix of a size, if there is none yet.
func (m *method) ownUnit(ctx context.Context, n int) error {
	if m.own(unit(n)) != nil {
		return nil
	}
	values := make([]float32, n*n)
	for i := range n {
		values[i*(n+1)] = 1
	}
	t := m.owned.new(unit(n), n, n)
	if m.owned.err != nil {
		return m.owned.err
	}
	return tensor.WriteFloats(ctx, m.model.Backend(), t, values)
}

func unit(n int) string { return fmt.Sprintf("unit.%d", n) }

// doraScale computes g of a target, before each forward pass.
type doraScale struct {
	lora      loraPart
	m         Param
	w         *tensor.Tensor // [O, I]
	squares   *tensor.Tensor // [O], ‖W‖²
	norms, g  *tensor.Tensor // [O], squared norms; m/‖…‖
	dg        *tensor.Tensor // [O]
	gram      *tensor.Tensor // [r, r], A·Aᵀ
	unit      *tensor.Tensor // [r, r], the unit matrix
	cross, bt *tensor.Tensor // [r, O]
	y, dy     *tensor.Tensor // [capacity, O], before the rescaling
}

func newDoRAScale(m *method, s *scratch, x loraSite) *doraScale {
	g := &doraScale{
		lora: loraPart{a: m.param(x.a()), b: m.param(x.b()), factor: x.scale}, m: m.param(x.m()), w: m.model.Weight(x.name + ".weight"),
		norms: s.new("dora.norms", x.out), g: s.new("dora.g", x.out), dg: s.new("dora.dg", x.out),
		gram: s.shared("dora.gram", x.rank*x.rank), unit: m.own(unit(x.rank)), squares: m.own(x.squares()),
		cross: s.shared("dora.cross", x.rank*x.out), bt: s.shared("dora.bt", x.rank*x.out),
	}
	size := s.run.Capacity() * x.out
	if x.kind == unembedding { // a part at a time
		size = s.run.LogitsSize()
		g.y = s.shared("dora.logits", size)
	} else {
		g.y = s.kept("dora.y", x.proj, x.out)
	}
	if s.run.Trains() {
		g.dy = s.shared("dora.dy", size)
	}
	return g
}

// begin records the computation of g.
func (g *doraScale) begin(p *tensor.Pass) {
	a, b := g.lora.a.Value, g.lora.b.Value
	r, outs, s := a.Rows(), b.Rows(), g.lora.factor
	gram, cross, bt := shaped(p, g.gram, r, r), shaped(p, g.cross, r, outs), shaped(p, g.bt, r, outs)
	p.Do(tensor.MatMul{Out: gram, X: a, W: a},
		tensor.MatMul{Out: cross, X: a, W: g.w, Scale: 2 * s},
		tensor.MatMul{Out: cross, X: gram, W: b, Scale: s * s, Add: true},
		tensor.MatMul{Out: bt, X: g.unit, W: b},
		tensor.Scale{Out: g.norms, X: g.squares, Factor: 1},
		tensor.ColumnSums{Out: g.norms, A: bt, B: cross, Add: true},
		tensor.DivRoot{Out: g.g, X: g.m.Value, S: g.norms})
}

// rows returns the scale of outputs [lo, hi).
func (g *doraScale) rows(lo, hi int) (*doraScale, error) {
	part := *g
	var err error
	if part.m, err = rowsOf(g.m, lo, hi); err != nil {
		return nil, err
	}
	for _, t := range []**tensor.Tensor{&part.norms, &part.g, &part.dg} {
		if *t, err = (*t).Slice(lo, hi); err != nil {
			return nil, err
		}
	}
	return &part, nil
}

// doraLinear is a target with LoRA, rescaled.
type doraLinear struct {
	*doraScale
	inner *loraLinear
}

// Forward implements transformer.Linear.
func (l *doraLinear) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	y := shaped(p, l.y, out.Shape...)
	l.inner.Forward(p, y, x)
	p.Do(tensor.ColumnScale{Out: out, X: y, S: l.g})
}

// Backward implements transformer.Linear.
func (l *doraLinear) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool) {
	y, dy := shaped(p, l.y, dout.Shape...), shaped(p, l.dy, dout.Shape...)
	p.Do(tensor.ColumnSums{Out: l.dg, A: dout, B: y},
		tensor.DivRoot{Out: l.m.Grad, X: l.dg, S: l.norms, Add: true},
		tensor.ColumnScale{Out: dy, X: dout, S: l.g})
	l.inner.Backward(p, dx, dy, x, add)
}
