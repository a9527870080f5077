package peft

import (
	"context"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Adaption2Config is the second version of LLaMA-Adapter (Gao et al. 2023, arXiv
// 2304.15010) as litgpt has it: the first version with a gate for each head, and
//
//	out = s ⊙ (W·x + b)
//
// for every projection, that of the output and those of the vectors among them. The
// norms before the sublayers and the last norm are trained too. At the start s is 1
// and b is 0.
type Adaption2Config struct {
	AdaptionConfig
}

// Name implements Config.
func (c Adaption2Config) Name() string { return "llama-adapter-v2" }

// Names of s and b, after litgpt's.
func scaleName(module string) string { return prefix + module + ".adapter_scale" }
func biasName(module string) string  { return prefix + module + ".adapter_bias" }

func (c Adaption2Config) design(m *transformer.Model) (*design, error) {
	c.HeadGates = true
	first, err := c.withDefaults(m)
	if err != nil {
		return nil, err
	}
	c.AdaptionConfig = first
	d := &design{config: c, specs: first.specs(m.Config)}
	var linears, norms []module
	for _, x := range modules(m.Config) {
		switch x.kind {
		case projection, unembedding:
			linears = append(linears, x)
			d.specs = append(d.specs, spec{name: scaleName(x.name), shape: []int{x.out}, init: constant(1)},
				spec{name: biasName(x.name), shape: []int{x.out}})
		case norm:
			if trainedNorm(m.Config, x) {
				norms = append(norms, x)
			}
		}
	}
	saved := saveWeights(m, norms, func(x module) string { return prefix + x.name + ".weight" })
	d.specs = append(d.specs, saved.specs...)
	d.fixed = func(ctx context.Context, x *method) error { return first.constants(ctx, x) }
	d.attach = func(m *method, s *scratch) *transformer.Attachment {
		at := first.attach(m, s)
		at.Weight = saved.attach(m)
		at.Linear, at.Unembed = attachScaleShift(m, s, linears)
		return at
	}
	return d, nil
}

// trainedNorm says whether a norm stands before a sublayer, or is the last one.
func trainedNorm(c *transformer.Config, x module) bool {
	names := []string{"input_layernorm", "post_attention_layernorm", "model.norm"}
	if c.PostNorms {
		names[1] = "pre_feedforward_layernorm"
	}
	match, err := Named(names...).matcher()
	return err == nil && match(x)
}

// scaleShift is out = s ⊙ (y + b).
type scaleShift struct{ s, b Param }

// scaleShift returns a module's, or nil if the method has none.
func (m *method) scaleShift(module string) *scaleShift {
	s, ok := m.byName[scaleName(module)]
	if !ok {
		return nil
	}
	return &scaleShift{s, m.param(biasName(module))}
}

// forward adds b to y, where it stays for the backward pass.
func (x *scaleShift) forward(p *tensor.Pass, out, y *tensor.Tensor) {
	broadcast(p, y, x.b.Value, true)
	p.Do(tensor.ColumnScale{Out: out, X: y, S: x.s.Value})
}

func (x *scaleShift) backward(p *tensor.Pass, dy, dout, y *tensor.Tensor) {
	p.Do(tensor.ColumnSums{Out: x.s.Grad, A: dout, B: y, Add: true}, tensor.ColumnScale{Out: dy, X: dout, S: x.s.Value},
		tensor.ColumnSums{Out: x.b.Grad, A: dy, Add: true})
}

// attachScaleShift wraps all projections and the output matrix.
func attachScaleShift(m *method, s *scratch, linears []module) (func(int, transformer.Proj, transformer.Linear) transformer.Linear,
	func(int, int, transformer.Linear) (transformer.Linear, error),
) {
	all := map[string]shifted{}
	for _, x := range linears {
		size, y := s.run.Capacity()*x.out, (*tensor.Tensor)(nil)
		if x.kind == unembedding { // a part at a time
			size = s.run.LogitsSize()
			y = s.new("shifted.logits", size)
		} else {
			y = s.kept("shifted.y", x.proj, x.out)
		}
		l := shifted{scaleShift: *m.scaleShift(x.name), y: y}
		if s.run.Trains() {
			l.dy = s.shared("shifted.dy", size)
		}
		all[x.name] = l
	}
	linear := func(layer int, p transformer.Proj, base transformer.Linear) transformer.Linear {
		l := all[p.Module(layer)]
		l.base = base
		return &l
	}
	unembed := func(lo, hi int, base transformer.Linear) (transformer.Linear, error) {
		l := all[unembedModule]
		l.base = base
		var err error
		if l.s, err = rowsOf(l.s, lo, hi); err == nil {
			l.b, err = rowsOf(l.b, lo, hi)
		}
		return &l, err
	}
	return linear, unembed
}

// shifted is a projection, scaled and shifted.
type shifted struct {
	scaleShift
	base  transformer.Linear
	y, dy *tensor.Tensor // [capacity, O]
}

// Forward implements transformer.Linear.
func (l *shifted) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	y := shaped(p, l.y, out.Shape...)
	l.base.Forward(p, y, x)
	l.forward(p, out, y)
}

// Backward implements transformer.Linear.
func (l *shifted) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool) {
	y, dy := shaped(p, l.y, dout.Shape...), shaped(p, l.dy, dout.Shape...)
	l.backward(p, dy, dout, y)
	l.base.Backward(p, dx, dy, x, add)
}
