package peft

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// AdaptionConfig is LLaMA-Adapter (Zhang et al. 2023, arXiv 2303.16199): in the upper
// layers, every token also attends to trained vectors P [n, D], through the layer's
// own keys and values, with a softmax of its own and a gate that starts at 0,
//
//	z_i += gate · Σ_j softmax_j(scale·q_i·k_j) · v_j      k = W_k·P, v = W_v·P
//
// z being what the output projection reads. The keys get no rotary embedding; scale and
// soft-cap are the model's. PEFT's ADAPTION_PROMPT has one gate a layer, litgpt's
// adapter one a head.
type AdaptionConfig struct {
	Tokens int    `json:"adapter_len"`    // 0 means 10
	Layers int    `json:"adapter_layers"` // the number of upper layers; 0 means all but the lowest two
	Target string `json:"target_modules"` // "self_attn", all there is

	// HeadGates gives each head its gate, as litgpt has it.
	HeadGates bool   `json:"head_gates,omitempty"`
	Seed      uint64 `json:"-"`
}

// Name implements Config.
func (c AdaptionConfig) Name() string { return "llama-adapter" }

func (c AdaptionConfig) complete() error {
	if c.Tokens < 1 || c.Layers < 1 {
		return fmt.Errorf("adapter_len is %d, adapter_layers is %d", c.Tokens, c.Layers)
	}
	return nil
}

func (c AdaptionConfig) withDefaults(m *transformer.Model) (AdaptionConfig, error) {
	layers := len(m.Config.Layers)
	if c.Tokens == 0 {
		c.Tokens = 10
	}
	if c.Layers == 0 {
		c.Layers = max(1, layers-2)
	}
	if c.Target == "" {
		c.Target = "self_attn"
	}
	switch {
	case c.Tokens < 0 || c.Layers < 0 || c.Layers > layers:
		return c, fmt.Errorf("%d vectors in the upper %d of %d layers: %w", c.Tokens, c.Layers, layers, ErrConfig)
	case c.Target != "self_attn":
		return c, fmt.Errorf("target_modules is %q: %w", c.Target, transformer.ErrUnsupported)
	case m.Config.QKNorm:
		return c, fmt.Errorf("LLaMA-Adapter on a model that normalises keys (%s): %w", m.Config.Kind, transformer.ErrUnsupported)
	}
	return c, nil
}

// PEFT's names in a layer.
func adaptionName(layer int, what string) string {
	return fmt.Sprintf("%smodel.layers.%d.self_attn.adaption_%s", prefix, layer, what)
}

func (c AdaptionConfig) design(m *transformer.Model) (*design, error) {
	c, err := c.withDefaults(m)
	if err != nil {
		return nil, err
	}
	return &design{
		config: c,
		specs:  c.specs(m.Config),
		fixed:  func(ctx context.Context, x *method) error { return c.constants(ctx, x) },
		attach: c.attach,
	}, nil
}

// first is the lowest layer that is changed.
func (c AdaptionConfig) first(m *transformer.Config) int { return len(m.Layers) - c.Layers }

// gates is the number of gates of a layer.
func (c AdaptionConfig) gates(m *transformer.Config) int {
	if c.HeadGates {
		return m.Heads
	}
	return 1
}

func (c AdaptionConfig) specs(m *transformer.Config) []spec {
	rng := rand.New(rand.NewPCG(c.Seed, 6))
	var all []spec
	for l := c.first(m); l < len(m.Layers); l++ {
		all = append(all, spec{name: adaptionName(l, "prompt"), shape: []int{1, c.Tokens, m.Hidden}, init: normal(rng, 1)},
			spec{name: adaptionName(l, "gate"), shape: []int{c.gates(m)}})
	}
	return all
}

// constants makes the matrix that gives each value of z its gate, [H·h, gates].
func (c AdaptionConfig) constants(ctx context.Context, m *method) error {
	x := m.model.Config
	size, gates := x.Heads*x.HeadDim, c.gates(x)
	values := make([]float32, size*gates)
	for i := range size {
		values[i*gates+i/x.HeadDim*gates/x.Heads] = 1
	}
	t := m.owned.new("adaption.which", size, gates)
	if m.owned.err != nil {
		return m.owned.err
	}
	return tensor.WriteFloats(ctx, m.model.Backend(), t, values)
}

func (c AdaptionConfig) attach(m *method, s *scratch) *transformer.Attachment {
	first := c.first(m.model.Config)
	var all []*adaption
	for l := first; l < len(m.model.Config.Layers); l++ {
		all = append(all, c.layer(m, s, l))
	}
	return &transformer.Attachment{
		Begin: func(p *tensor.Pass) {
			for _, a := range all {
				a.begin(p)
			}
		},
		Attention: func(layer int) transformer.AttentionAdapter {
			if layer < first {
				return nil
			}
			return all[layer-first]
		},
	}
}

// adaption is a layer's part in one run.
type adaption struct {
	prompt, gate Param
	heads        tensor.Heads
	k, v         projected
	dk, dv       *tensor.Tensor // [n, K·h]
	which        *tensor.Tensor // [H·h, gates]
	factor, dg   *tensor.Tensor // [1, H·h], the gate of each value of z
	z, dz, dq    *tensor.Tensor // [capacity, H·h]
	stats        *tensor.Tensor // [capacity·H, 2]
}

// projected are the keys or the values of the vectors, W·P, in the second version
// scaled and shifted as the projection's output is.
type projected struct {
	w     *tensor.Tensor // [K·h, D]
	out   *tensor.Tensor // [n, K·h]
	shift *scaleShift    // nil in the first version
	y, dy *tensor.Tensor // [n, K·h], before that
}

func newProjected(m *method, s *scratch, l, tokens int, proj transformer.Proj) projected {
	x := projected{w: m.model.Weights.Layers[l].Proj[proj], shift: m.scaleShift(proj.Module(l))}
	x.out = s.new("adaption.projected", tokens, x.w.Rows())
	if x.shift != nil {
		x.y, x.dy = s.new("adaption.y", tokens, x.w.Rows()), s.shared("adaption.dy", tokens*x.w.Rows())
	}
	return x
}

func (x projected) forward(p *tensor.Pass, vectors *tensor.Tensor) {
	if x.shift == nil {
		p.Do(tensor.MatMul{Out: x.out, X: vectors, W: x.w})
		return
	}
	p.Do(tensor.MatMul{Out: x.y, X: vectors, W: x.w})
	x.shift.forward(p, x.out, x.y)
}

// backward adds to dvectors.
func (x projected) backward(p *tensor.Pass, dvectors, dout *tensor.Tensor) {
	if x.shift != nil {
		dy := shaped(p, x.dy, dout.Shape...)
		x.shift.backward(p, dy, dout, x.y)
		dout = dy
	}
	p.Do(tensor.MatMulDX{DX: dvectors, DOut: dout, W: x.w, Add: true})
}

func (c AdaptionConfig) layer(m *method, s *scratch, l int) *adaption {
	x := m.model.Config
	size, keys := x.Heads*x.HeadDim, x.KVHeads*x.HeadDim
	a := &adaption{
		prompt: m.param(adaptionName(l, "prompt")), gate: m.param(adaptionName(l, "gate")), which: m.own("adaption.which"),
		heads: tensor.Heads{
			Batch: 1, Keys: c.Tokens, Prefix: c.Tokens, Heads: x.Heads, KVHeads: x.KVHeads, Dim: x.HeadDim,
			Scale: x.AttnScale, SoftCap: x.AttnSoftCap,
		},
		k: newProjected(m, s, l, c.Tokens, transformer.KProj), v: newProjected(m, s, l, c.Tokens, transformer.VProj), factor: s.new("adaption.factor", 1, size),
		z: s.kept("adaption.z", transformer.OProj, size), stats: s.kept("adaption.stats", transformer.OProj, 2*x.Heads),
	}
	if s.run.Trains() {
		n := s.run.Capacity()
		a.dk, a.dv = s.shared("adaption.dk", c.Tokens*keys), s.shared("adaption.dv", c.Tokens*keys)
		a.dg, a.dz, a.dq = s.shared("adaption.dg", size), s.shared("adaption.dz", n*size), s.shared("adaption.dq", n*size)
	}
	return a
}

// begin computes keys, values and gates.
func (a *adaption) begin(p *tensor.Pass) {
	vectors, gate := shaped(p, a.prompt.Value, a.heads.Keys, a.k.w.Cols()), shaped(p, a.gate.Value, 1, a.which.Cols())
	a.k.forward(p, vectors)
	a.v.forward(p, vectors)
	p.Do(tensor.MatMul{Out: a.factor, X: gate, W: a.which})
}

// Forward implements transformer.AttentionAdapter.
func (a *adaption) Forward(p *tensor.Pass, z, q *tensor.Tensor) {
	h, own := a.heads, shaped(p, a.z, z.Shape...)
	h.Queries = q.Rows()
	p.Do(tensor.Attention{Z: own, Stats: shaped(p, a.stats, q.Rows()*h.Heads, 2), Q: q, K: a.k.out, V: a.v.out, Heads: h},
		tensor.ColumnScale{Out: z, X: own, S: shaped(p, a.factor, z.Cols()), Add: true})
}

// Backward implements transformer.AttentionAdapter.
func (a *adaption) Backward(p *tensor.Pass, dq, dz, q *tensor.Tensor) {
	h := a.heads
	h.Queries = q.Rows()
	n, size, tokens, keys := q.Rows(), q.Cols(), a.heads.Keys, a.k.out.Cols()
	z, down, dqueries := shaped(p, a.z, n, size), shaped(p, a.dz, n, size), shaped(p, a.dq, n, size)
	dk, dv := shaped(p, a.dk, tokens, keys), shaped(p, a.dv, tokens, keys)
	dvectors := shaped(p, a.prompt.Grad, tokens, a.k.w.Cols())
	p.Do(tensor.ColumnSums{Out: a.dg, A: dz, B: z},
		tensor.MatMulDX{DX: shaped(p, a.gate.Grad, 1, a.which.Cols()), DOut: shaped(p, a.dg, 1, size), W: a.which, Add: true},
		tensor.ColumnScale{Out: down, X: dz, S: shaped(p, a.factor, size)},
		tensor.AttentionBackward{DQ: dqueries, DK: dk, DV: dv, DZ: down, Z: z, Stats: shaped(p, a.stats, n*h.Heads, 2), Q: q, K: a.k.out, V: a.v.out, Heads: h},
		tensor.Scale{Out: dq, X: dqueries, Factor: 1, Add: true})
	a.k.backward(p, dvectors, dk)
	a.v.backward(p, dvectors, dv)
}
