package peft

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// PrefixConfig is prefix tuning (Li and Liang 2021, arXiv 2101.00190): trained keys and
// values in front of those of the tokens, in every layer. Keys get no rotary
// embedding; the first token stands at position n.
//
// One matrix P [n, layers·2·K·h] holds them all: token by token, layer by layer, the
// key before the value. With a Projection, a network computes it from vectors e [n, K·h],
//
//	P = W₂·tanh(W₀·e + b₀) + b₂
//
// of which only P is saved, and goes on without the network; that is PEFT's format.
type PrefixConfig struct {
	Tokens     int  `json:"num_virtual_tokens"` // 0 means 20
	Projection bool `json:"prefix_projection"`
	Hidden     int  `json:"encoder_hidden_size,omitempty"` // of the network; 0 means the model's width
	baseShape       // PEFT counts key heads here

	Init PrefixInit `json:"-"` // "" means InitZero, or with a Text, InitKeys; a Projection has its own
	Text []int32    `json:"-"` // tokens, for InitKeys
	Seed uint64     `json:"-"`
}

// PrefixInit says what a prefix starts from.
type PrefixInit string

// The ways to start.
const (
	InitZero   PrefixInit = "zero"
	InitNormal PrefixInit = "random" // N(0, 1), PEFT's default, which trains badly
	InitKeys   PrefixInit = "text"   // the keys and values of a text, repeated or cut to length
)

// Name implements Config.
func (c PrefixConfig) Name() string { return "prefix" }

func (c PrefixConfig) complete() error { return completeTokens(c.Tokens) }

func (c PrefixConfig) stored() Config {
	c.Projection, c.Hidden = false, 0
	return c
}

func (c PrefixConfig) design(m *transformer.Model) (*design, error) {
	if c.Tokens == 0 {
		c.Tokens = defaultTokens
	}
	if err := checkTokens(m, c.Tokens); err != nil {
		return nil, err
	}
	c.baseShape = baseShape{len(m.Config.Layers), m.Config.KVHeads, m.Config.KVHeads * m.Config.HeadDim}
	if c.Projection {
		return c.projected(m)
	}
	init, err := c.values(m)
	if err != nil {
		return nil, err
	}
	return &design{
		config: c, positions: c.Tokens,
		specs: []spec{{name: promptName, shape: []int{c.Tokens, c.Layers * 2 * c.Width}, init: init}},
		attach: func(m *method, s *scratch) *transformer.Attachment {
			q := m.param(promptName)
			x := c.prefix(s)
			return &transformer.Attachment{
				Prefix: x,
				Begin:  func(p *tensor.Pass) { c.split(p, x, q.Value) },
				End:    func(p *tensor.Pass) { c.join(p, x, q.Grad) },
			}
		},
	}, nil
}

// projected is the design with the network.
func (c PrefixConfig) projected(m *transformer.Model) (*design, error) {
	if c.Hidden == 0 {
		c.Hidden = m.Config.Hidden
	}
	if c.Hidden < 0 {
		return nil, fmt.Errorf("encoder of width %d: %w", c.Hidden, ErrConfig)
	}
	rng := rand.New(rand.NewPCG(c.Seed, 4))
	specs := []spec{{name: encoderInput, shape: []int{c.Tokens, c.Width}, init: normal(rng, 1)}}
	specs = append(specs, denseSpecs("transform.0", c.Hidden, c.Width, rng)...)
	specs = append(specs, denseSpecs("transform.2", c.Layers*2*c.Width, c.Hidden, rng)...)
	network := func(m *method, s *scratch) *layers {
		return s.newLayers(c.Tokens, m.param(encoderInput).Value, tensor.Tanh, m.dense("transform.0"), m.dense("transform.2"))
	}
	return &design{
		config: c, positions: c.Tokens,
		specs: specs,
		attach: func(m *method, s *scratch) *transformer.Attachment {
			l, x := network(m, s), c.prefix(s)
			return &transformer.Attachment{
				Prefix: x,
				Begin: func(p *tensor.Pass) {
					l.forward(p)
					c.split(p, x, l.out())
				},
				End: func(p *tensor.Pass) {
					p.Do(tensor.Fill{Out: l.dout()})
					c.join(p, x, l.dout())
					l.backward(p)
					addGrad(p, m.param(encoderInput), l.dx[0])
				},
			}
		},
		pack: func(ctx context.Context, m *method, _ tensors) (tensors, error) {
			rows, err := m.evaluated(ctx, func(p *tensor.Pass, s *scratch) *tensor.Tensor {
				l := network(m, s)
				if s.err == nil {
					l.forward(p)
				}
				return l.out()
			})
			return tensors{promptName: rows}, err
		},
	}, nil
}

// prefix makes room for keys and values by layer.
func (c PrefixConfig) prefix(s *scratch) *transformer.Prefix {
	x := &transformer.Prefix{Tokens: c.Tokens}
	for range c.Layers {
		x.K, x.V = append(x.K, s.new("prefix.k", c.Tokens, c.Width)), append(x.V, s.new("prefix.v", c.Tokens, c.Width))
		if s.run.Trains() {
			x.DK, x.DV = append(x.DK, s.new("prefix.dk", c.Tokens, c.Width)), append(x.DV, s.new("prefix.dv", c.Tokens, c.Width))
		}
	}
	return x
}

// split records the copies of P's parts to keys and values.
func (c PrefixConfig) split(p *tensor.Pass, x *transformer.Prefix, all *tensor.Tensor) {
	parts := shaped(p, all, c.Tokens*2*c.Layers, c.Width)
	for l := range c.Layers {
		for i, t := range []*tensor.Tensor{x.K[l], x.V[l]} {
			p.Do(tensor.Copy{Dst: t, Src: parts, Batch: c.Tokens, Rows: 1, DstStride: 1, SrcStride: 2 * c.Layers, SrcFirst: 2*l + i})
		}
	}
}

// join adds the gradients of keys and values to P's, and clears them for the next
// batch.
func (c PrefixConfig) join(p *tensor.Pass, x *transformer.Prefix, all *tensor.Tensor) {
	parts := shaped(p, all, c.Tokens*2*c.Layers, c.Width)
	for l := range c.Layers {
		for i, t := range []*tensor.Tensor{x.DK[l], x.DV[l]} {
			p.Do(tensor.Copy{Dst: parts, Src: t, Batch: c.Tokens, Rows: 1, DstStride: 2 * c.Layers, DstFirst: 2*l + i, SrcStride: 1, Add: true},
				tensor.Fill{Out: t})
		}
	}
}

// values returns what sets P at the start.
func (c PrefixConfig) values(m *transformer.Model) (starting, error) {
	switch {
	case c.Init == InitZero || c.Init == "" && len(c.Text) == 0:
		return nil, nil
	case c.Init == InitNormal:
		return normal(rand.New(rand.NewPCG(c.Seed, 4)), 1), nil
	case c.Init != InitKeys && c.Init != "":
		return nil, fmt.Errorf("prefix init %q (known: zero, random, text): %w", c.Init, ErrConfig)
	case len(c.Text) == 0:
		return nil, fmt.Errorf("prefix init %q without a text: %w", c.Init, ErrConfig)
	}
	return func(ctx context.Context, dst []float32) error { return c.keysOf(ctx, m, dst) }, nil
}

// keysOf runs the model over the text and takes its keys, rotated, and values.
func (c PrefixConfig) keysOf(ctx context.Context, m *transformer.Model, dst []float32) error {
	ids := make([]int32, c.Tokens)
	for i := range ids {
		ids[i] = c.Text[i%len(c.Text)]
	}
	s := &scratch{backend: m.Backend()}
	defer s.close()
	all := s.new("prefix.text", c.Tokens*2*c.Layers, c.Width)
	if s.err != nil {
		return s.err
	}
	tap := func(p *tensor.Pass, at transformer.Site, t *tensor.Tensor) {
		i := slices.Index([]transformer.Point{transformer.RotK, transformer.V}, at.Point)
		if i >= 0 {
			p.Do(tensor.Copy{Dst: all, Src: t, Batch: c.Tokens, Rows: 1, DstStride: 2 * c.Layers, DstFirst: 2*at.Layer + i, SrcStride: 1})
		}
	}
	r, err := m.NewRun(transformer.RunOptions{Batch: 1, Length: c.Tokens, Hooks: transformer.Hooks{Tap: tap}})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Forward(ctx, transformer.Batch{IDs: [][]int32{ids}}); err != nil {
		return err
	}
	values, err := tensor.Floats(ctx, m.Backend(), all)
	copy(dst, values)
	return err
}
