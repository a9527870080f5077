package peft

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// BottleneckConfig are the adapters of AdapterHub: a small network after sublayers,
//
//	x' = x + Scaling·(U·f(D·in + b) + c)        D [H/ReductionFactor, H], U its reverse
//
// x being what the sublayer's last projection gives and r the stream before the
// sublayer. in is x + r for seq-bn (Pfeiffer et al. 2020, arXiv 2005.00247), which on
// Gemma 2 and 3 is normalised by the post-norm of the last layer, in all layers, as
// AdapterHub 1.3 does it; x for double-seq-bn (Houlsby et al. 2019, arXiv 1902.00751),
// which comes after attention as well; r for par-bn (He et al. 2021, arXiv 2110.04366).
// The field names are AdapterHub's.
type BottleneckConfig struct {
	Attention bool    `json:"mh_adapter"`         // after attention
	Output    bool    `json:"output_adapter"`     // after the MLP
	Reduction float64 `json:"reduction_factor"`   // of the width; 0 means 16
	Act       string  `json:"non_linearity"`      // f: relu, gelu, swish, tanh, …
	Residual  bool    `json:"original_ln_before"` // in is x + r
	Parallel  bool    `json:"is_parallel"`        // in is r
	Scaling   float64 `json:"scaling"`            // 0 means 1
	Init      string  `json:"init_weights"`       // bert, mam_adapter or houlsby
	LeaveOut  []int   `json:"leave_out"`          // layers without

	Seed uint64 `json:"-"`
}

// The three forms, with AdapterHub's settings.

// SeqBn is Pfeiffer's adapter.
func SeqBn() BottleneckConfig {
	return BottleneckConfig{Output: true, Reduction: 16, Act: "relu", Residual: true, Scaling: 1, Init: "bert"}
}

// DoubleSeqBn is Houlsby's adapter.
func DoubleSeqBn() BottleneckConfig {
	return BottleneckConfig{Attention: true, Output: true, Reduction: 16, Act: "swish", Scaling: 1, Init: "bert"}
}

// ParBn is He's parallel adapter.
func ParBn() BottleneckConfig {
	return BottleneckConfig{Output: true, Reduction: 2, Act: "relu", Parallel: true, Scaling: 4, Init: "mam_adapter"}
}

// Name implements Config.
func (c BottleneckConfig) Name() string {
	switch {
	case c.Parallel:
		return "par-bn"
	case c.Attention && c.Output:
		return "double-seq-bn"
	}
	return "seq-bn"
}

// nonLinearities are AdapterHub's names.
var nonLinearities = map[string]tensor.Activation{
	"relu": tensor.ReLU, "gelu": tensor.GELU, "gelu_new": tensor.GELUTanh, "gelu_pytorch_tanh": tensor.GELUTanh, "swish": tensor.SiLU,
	"silu": tensor.SiLU, "tanh": tensor.Tanh, "sigmoid": tensor.Sigmoid, "leakyrelu": tensor.LeakyReLU, "linear": tensor.Identity,
}

// NonLinearities lists what Act may be.
func NonLinearities() []string { return sortedKeys(nonLinearities) }

func (c BottleneckConfig) withDefaults(m *transformer.Model) (BottleneckConfig, error) {
	if c.Reduction == 0 {
		c.Reduction = 16
	}
	if c.Scaling == 0 {
		c.Scaling = 1
	}
	if c.Init == "" {
		c.Init = "bert"
	}
	if c.LeaveOut == nil {
		c.LeaveOut = []int{}
	}
	_, known := nonLinearities[c.Act]
	switch {
	case !(c.Reduction > 0) || math.IsInf(c.Reduction, 0) || math.IsNaN(c.Scaling):
		return c, fmt.Errorf("reduction factor %v, scaling %v: %w", c.Reduction, c.Scaling, ErrConfig)
	case !known:
		return c, fmt.Errorf("non-linearity %q (known: %v): %w", c.Act, NonLinearities(), transformer.ErrUnsupported)
	case !slices.Contains([]string{"bert", "mam_adapter", "houlsby"}, c.Init):
		return c, fmt.Errorf("init_weights %q (known: bert, mam_adapter, houlsby): %w", c.Init, ErrConfig)
	case !c.Attention && !c.Output || len(c.LeaveOut) >= len(m.Config.Layers):
		return c, fmt.Errorf("adapters after no sublayer: %w", ErrConfig)
	case c.Output && m.Config.FFN == 0:
		return c, fmt.Errorf("adapters after the MLP, which the model doesn't have: %w", transformer.ErrUnsupported)
	case c.Residual && c.Parallel:
		return c, fmt.Errorf("original_ln_before and is_parallel: %w", transformer.ErrUnsupported)
	}
	return c, nil
}

// bottleneckSite is a place after a sublayer.
type bottleneckSite struct {
	layer int
	after transformer.Sublayer
}

// name is AdapterHub's, without the adapter's own name.
func (s bottleneckSite) name(part string) string {
	where := "output_adapters"
	if s.after == transformer.AttentionSublayer {
		where = "attention_adapters"
	}
	return fmt.Sprintf("model.layers.%d.%s.%s", s.layer, where, part)
}

// AdapterHub's names of the two layers.
const (
	bottleneckDown = "adapter_down.0"
	bottleneckUp   = "adapter_up"
)

func (c BottleneckConfig) sites(layers int) []bottleneckSite {
	var all []bottleneckSite
	for l := range layers {
		if slices.Contains(c.LeaveOut, l) {
			continue
		}
		if c.Attention {
			all = append(all, bottleneckSite{l, transformer.AttentionSublayer})
		}
		if c.Output {
			all = append(all, bottleneckSite{l, transformer.MLPSublayer})
		}
	}
	return all
}

func (c BottleneckConfig) design(m *transformer.Model) (*design, error) {
	c, err := c.withDefaults(m)
	if err != nil {
		return nil, err
	}
	d, width := &design{config: c}, m.Config.Hidden
	inner := max(1, int(float64(width)/c.Reduction))
	rng := rand.New(rand.NewPCG(c.Seed, 7))
	sites := c.sites(len(m.Config.Layers))
	for _, s := range sites {
		d.specs = append(d.specs,
			spec{name: s.name(bottleneckDown + ".weight"), shape: []int{inner, width}, init: c.start(rng, width, false)},
			spec{name: s.name(bottleneckDown + ".bias"), shape: []int{inner}},
			spec{name: s.name(bottleneckUp + ".weight"), shape: []int{width, inner}, init: c.start(rng, inner, true)},
			spec{name: s.name(bottleneckUp + ".bias"), shape: []int{width}})
	}
	d.attach = func(m *method, s *scratch) *transformer.Attachment { return c.attach(m, s, sites) }
	return d, nil
}

// start returns AdapterHub's starting values of a matrix.
func (c BottleneckConfig) start(rng *rand.Rand, in int, up bool) starting {
	switch {
	case c.Init == "bert":
		return normal(rng, 0.02)
	case c.Init == "mam_adapter" && up:
		return nil
	case c.Init == "mam_adapter":
		return uniform(rng, 1/math.Sqrt(float64(in)))
	}
	return func(_ context.Context, dst []float32) error { // houlsby: N(0, 0.01), cut off at two standard deviations
		for i := range dst {
			v := rng.NormFloat64()
			for math.Abs(v) > 2 {
				v = rng.NormFloat64()
			}
			dst[i] = float32(0.01 * v)
		}
		return nil
	}
}

func (c BottleneckConfig) attach(m *method, s *scratch, sites []bottleneckSite) *transformer.Attachment {
	all := map[bottleneckSite]*bottleneck{}
	for _, site := range sites {
		all[site] = c.bottleneck(m, s, site)
	}
	return &transformer.Attachment{Sublayer: func(layer int, after transformer.Sublayer) transformer.SublayerAdapter {
		if b, ok := all[bottleneckSite{layer, after}]; ok {
			return b
		}
		return nil
	}}
}

// bottleneck is one of the networks in one run.
type bottleneck struct {
	BottleneckConfig
	down, up  dense
	act       tensor.Activation
	post      *tensor.Tensor // [D], the post-norm's weight, if the input is normalised
	eps       float32
	offset    float32
	in, rms   *tensor.Tensor // [capacity, D], [capacity]: the input before a norm, and its divisors
	normed    *tensor.Tensor // [capacity, D]
	pre, h    *tensor.Tensor // [capacity, inner]
	dpre, dh  *tensor.Tensor
	out, dout *tensor.Tensor // [capacity, D]
	din       *tensor.Tensor
}

func (c BottleneckConfig) bottleneck(m *method, s *scratch, site bottleneckSite) *bottleneck {
	b := &bottleneck{BottleneckConfig: c, down: m.dense(site.name(bottleneckDown)), up: m.dense(site.name(bottleneckUp)), act: nonLinearities[c.Act]}
	config := m.model.Config
	proj, n, width, inner := transformer.DownProj, s.run.Capacity(), config.Hidden, b.down.out()
	if site.after == transformer.AttentionSublayer {
		proj = transformer.OProj
	}
	if c.Residual && config.PostNorms {
		// AdapterHub 1.3 takes the last layer's norm in every layer.
		last := m.model.Weights.Layers[len(config.Layers)-1]
		b.post, b.eps, b.offset = last.Norm2Post, config.NormEps, config.NormOffset
		if site.after == transformer.AttentionSublayer {
			b.post = last.Norm1Post
		}
		b.normed, b.rms = s.kept("bottleneck.normed", proj, width), s.kept("bottleneck.rms", proj, 1)
	}
	if !c.Parallel {
		b.in = s.kept("bottleneck.in", proj, width)
	}
	b.pre, b.h = s.kept("bottleneck.pre", proj, inner), s.kept("bottleneck.h", proj, inner)
	b.out = s.shared("bottleneck.out", n*width)
	if s.run.Trains() {
		b.dpre, b.dh = s.shared("bottleneck.dpre", n*inner), s.shared("bottleneck.dh", n*inner)
		b.dout, b.din = s.shared("bottleneck.dout", n*width), s.shared("bottleneck.din", n*width)
	}
	return b
}

// input records what the network reads, given x and r, and returns it.
func (b *bottleneck) input(p *tensor.Pass, x, r *tensor.Tensor) *tensor.Tensor {
	if b.Parallel {
		return r
	}
	in := shaped(p, b.in, x.Shape...)
	if !b.Residual {
		p.Do(tensor.Scale{Out: in, X: x, Factor: 1})
		return in
	}
	p.Do(tensor.Add{Out: in, A: x, B: r})
	if b.post == nil {
		return in
	}
	normed := shaped(p, b.normed, x.Shape...)
	p.Do(tensor.RMSNorm{Out: normed, RMS: shaped(p, b.rms, x.Rows()), X: in, W: b.post, Eps: b.eps, Offset: b.offset})
	return normed
}

// Forward implements transformer.SublayerAdapter.
func (b *bottleneck) Forward(p *tensor.Pass, x, r *tensor.Tensor) {
	n := x.Rows()
	in, pre, h, out := b.input(p, x, r), shaped(p, b.pre, n, b.down.out()), shaped(p, b.h, n, b.down.out()), shaped(p, b.out, x.Shape...)
	b.down.forward(p, pre, in)
	p.Do(tensor.Gated{Out: h, Gate: pre, Act: b.act})
	b.up.forward(p, out, h)
	p.Do(tensor.Scale{Out: x, X: out, Factor: float32(b.Scaling), Add: true})
}

// Backward implements transformer.SublayerAdapter.
func (b *bottleneck) Backward(p *tensor.Pass, dx, dr, r *tensor.Tensor) {
	n, inner := dx.Rows(), b.down.out()
	pre, h, dpre, dh := shaped(p, b.pre, n, inner), shaped(p, b.h, n, inner), shaped(p, b.dpre, n, inner), shaped(p, b.dh, n, inner)
	dout, din := shaped(p, b.dout, dx.Shape...), shaped(p, b.din, dx.Shape...)
	in := r
	if b.normed != nil {
		in = shaped(p, b.normed, dx.Shape...)
	} else if !b.Parallel {
		in = shaped(p, b.in, dx.Shape...)
	}
	p.Do(tensor.Scale{Out: dout, X: dx, Factor: float32(b.Scaling)})
	b.up.backward(p, dh, dout, h)
	p.Do(tensor.GatedBackward{DGate: dpre, DOut: dh, Gate: pre, Act: b.act})
	b.down.backward(p, din, dpre, in)
	if b.normed != nil { // dout isn't needed any more
		p.Do(tensor.RMSNormDX{DX: dout, DOut: din, X: shaped(p, b.in, dx.Shape...), W: b.post, RMS: shaped(p, b.rms, n), Offset: b.offset})
		din = dout
	}
	if !b.Parallel {
		p.Do(tensor.Scale{Out: dx, X: din, Factor: 1, Add: true})
	}
	if b.Parallel || b.Residual {
		p.Do(tensor.Scale{Out: dr, X: din, Factor: 1, Add: true})
	}
}
