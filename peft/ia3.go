package peft

import (
	"context"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// IA3Config is (IA)³ (Liu et al. 2022, arXiv 2205.05638): a trained factor for each
// output of a target, or for feed-forward targets, for each input,
//
//	out = l ⊙ (W·x)        dl += Σ dout·(W·x)
//	out = W·(l ⊙ x)        dl += Σ dx'·x, dx = l ⊙ dx', with dx' the gradient of l ⊙ x
//
// All factors start at 1. AdapterHub's form has factors for outputs only.
type IA3Config struct {
	Targets     Modules  `json:"target_modules,omitzero"`      // none means k_proj, v_proj (Gemma: q_proj, v_proj) and down_proj
	Feedforward Modules  `json:"feedforward_modules,omitzero"` // of the targets, those whose inputs are scaled; the zero value means down_proj
	Exclude     Modules  `json:"exclude_modules,omitzero"`
	Save        []string `json:"modules_to_save,omitempty"`
	// OutputsOnly makes no target a feed-forward one.
	OutputsOnly bool `json:"-"`
}

// Name implements Config.
func (c IA3Config) Name() string { return "ia3" }

func ia3Name(x module) string { return prefix + x.name + ".ia3_l" }

func (c IA3Config) design(m *transformer.Model) (*design, error) {
	if c.Targets.IsZero() { // PEFT's own choice for these models
		c.Targets = Named("k_proj", "v_proj", "down_proj")
		if slices.Contains([]string{"gemma", "gemma2", "gemma3_text"}, m.Config.Kind) {
			c.Targets = Named("q_proj", "v_proj", "down_proj")
		}
	}
	if c.OutputsOnly {
		c.Feedforward = Named()
	} else if c.Feedforward.IsZero() {
		c.Feedforward = c.Targets.downProjections()
	}
	found, err := selection{targets: c.Targets, exclude: c.Exclude, kinds: []moduleKind{projection}}.of(m.Config)
	if err != nil {
		return nil, err
	}
	feedforward, err := c.Feedforward.matcher()
	if err != nil {
		return nil, err
	}
	saved, err := savedModules(m, c.Save, prefix)
	if err != nil {
		return nil, err
	}
	d := &design{config: c}
	for _, x := range found {
		shape := []int{x.out, 1}
		if feedforward(x) {
			shape = []int{1, x.in}
		}
		d.specs = append(d.specs, spec{name: ia3Name(x), shape: shape, init: constant(1)})
	}
	d.specs = append(d.specs, saved.specs...)
	d.attach = func(m *method, s *scratch) *transformer.Attachment {
		return &transformer.Attachment{Linear: attachIA3(m, s, found), Weight: saved.attach(m)}
	}
	d.updates = func(ctx context.Context, m *method) (map[string]update, error) {
		return ia3Updates(ctx, m, found, saved)
	}
	return d, nil
}

// downProjections are PEFT's feed-forward modules of these models, if they are among the
// targets: PEFT refuses others.
func (m Modules) downProjections() Modules {
	if m.Pattern != "" {
		return Named("down_proj")
	}
	down := Named()
	for _, n := range m.Names {
		if n == AllLinear {
			n = "down_proj"
		}
		if n == "down_proj" || strings.HasSuffix(n, ".down_proj") {
			down.Names = append(down.Names, n)
		}
	}
	return down
}

// constant is a starting value.
func constant(v float32) starting {
	return func(_ context.Context, dst []float32) error {
		for i := range dst {
			dst[i] = v
		}
		return nil
	}
}

func attachIA3(m *method, s *scratch, targets []module) func(int, transformer.Proj, transformer.Linear) transformer.Linear {
	wraps := map[string]func(base transformer.Linear) transformer.Linear{}
	for _, x := range targets {
		q := m.param(ia3Name(x))
		if q.Shape[0] == 1 {
			in := scaledIn{l: q, x: s.shared("ia3.x", s.run.Capacity()*x.in)}
			if s.run.Trains() {
				in.dx = s.shared("ia3.dx", s.run.Capacity()*x.in)
			}
			wraps[x.name] = func(base transformer.Linear) transformer.Linear { in := in; in.base = base; return &in }
		} else {
			out := newScaledOut(m, s, x.proj, q, x.out)
			wraps[x.name] = func(base transformer.Linear) transformer.Linear { out := out; out.base = base; return &out }
		}
	}
	return func(layer int, p transformer.Proj, base transformer.Linear) transformer.Linear {
		if wrap, ok := wraps[p.Module(layer)]; ok {
			return wrap(base)
		}
		return base
	}
}

// scaledOut is a projection with a factor for each output.
type scaledOut struct {
	base  transformer.Linear
	l     Param          // O values
	y, dy *tensor.Tensor // [capacity, O]
}

func newScaledOut(m *method, s *scratch, proj transformer.Proj, l Param, out int) scaledOut {
	x := scaledOut{l: l, y: s.kept("scaled.y", proj, out)}
	if s.run.Trains() {
		x.dy = s.shared("scaled.dy", s.run.Capacity()*out)
	}
	return x
}

// Forward implements transformer.Linear.
func (l *scaledOut) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	y := shaped(p, l.y, out.Shape...)
	l.base.Forward(p, y, x)
	p.Do(tensor.ColumnScale{Out: out, X: y, S: l.l.Value})
}

// Backward implements transformer.Linear.
func (l *scaledOut) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool) {
	y, dy := shaped(p, l.y, dout.Shape...), shaped(p, l.dy, dout.Shape...)
	p.Do(tensor.ColumnSums{Out: l.l.Grad, A: dout, B: y, Add: true}, tensor.ColumnScale{Out: dy, X: dout, S: l.l.Value})
	l.base.Backward(p, dx, dy, x, add)
}

// scaledIn is a projection with a factor for each input.
type scaledIn struct {
	base  transformer.Linear
	l     Param          // I values
	x, dx *tensor.Tensor // [capacity, I], the scaled input and its gradient
}

// Forward implements transformer.Linear.
func (l *scaledIn) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	scaled := shaped(p, l.x, x.Shape...)
	p.Do(tensor.ColumnScale{Out: scaled, X: x, S: l.l.Value})
	l.base.Forward(p, out, scaled)
}

// Backward implements transformer.Linear.
func (l *scaledIn) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool) {
	scaled, dscaled := shaped(p, l.x, x.Shape...), shaped(p, l.dx, x.Shape...)
	p.Do(tensor.ColumnScale{Out: scaled, X: x, S: l.l.Value}) // other targets have used it since
	l.base.Backward(p, dscaled, dout, scaled, false)
	p.Do(tensor.ColumnSums{Out: l.l.Grad, A: dscaled, B: x, Add: true})
	if dx != nil {
		p.Do(tensor.ColumnScale{Out: dx, X: dscaled, S: l.l.Value, Add: add})
	}
}

// ia3Updates scales the weights' rows or columns.
func ia3Updates(ctx context.Context, m *method, targets []module, saved savedWeights) (map[string]update, error) {
	all, err := saved.updates(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, x := range targets {
		q := m.param(ia3Name(x))
		l, err := tensor.Floats(ctx, m.model.Backend(), q.Value)
		if err != nil {
			return nil, err
		}
		byColumn := q.Shape[0] == 1
		all[x.name+".weight"] = func(r int, row []float32) {
			for i := range row {
				if byColumn {
					row[i] *= l[i]
				} else {
					row[i] *= l[r]
				}
			}
		}
	}
	return all, nil
}
