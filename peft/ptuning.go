package peft

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// PTuningConfig is P-tuning (Liu et al. 2021, arXiv 2103.10385): virtual tokens as in
// prompt tuning that a small network computes from trainable vectors e, as in PEFT:
//
//	MLP   P = W₄·relu(W₂·relu(W₀·e + b₀) + b₂) + b₄
//	LSTM  P = W₂·relu(W₀·lstm(e) + b₀) + b₂, lstm being bidirectional
//
// What is saved is P alone, and goes on as a [PromptConfig]; that is PEFT's format.
type PTuningConfig struct {
	Tokens  int    `json:"num_virtual_tokens"`              // 0 means 20
	Encoder string `json:"encoder_reparameterization_type"` // "MLP" or "LSTM"; "" means MLP
	Hidden  int    `json:"encoder_hidden_size"`             // 0 means 128
	Depth   int    `json:"encoder_num_layers,omitempty"`    // of the LSTM; 0 means 2
	baseShape

	Seed uint64 `json:"-"`
}

// The encoders of P-tuning.
const (
	EncoderMLP  = "MLP"
	EncoderLSTM = "LSTM"
)

// Name implements Config.
func (c PTuningConfig) Name() string { return "ptuning" }

func (c PTuningConfig) complete() error { return completeTokens(c.Tokens) }

func (c PTuningConfig) stored() Config { return PromptConfig{Tokens: c.Tokens, baseShape: c.baseShape} }

// encoderInput is the name of e.
const encoderInput = "embedding.weight"

func (c PTuningConfig) design(m *transformer.Model) (*design, error) {
	if c.Tokens == 0 {
		c.Tokens = defaultTokens
	}
	if c.Hidden == 0 {
		c.Hidden = 128
	}
	if c.Depth == 0 {
		c.Depth = 2
	}
	if c.Encoder == "" {
		c.Encoder = EncoderMLP
	}
	if err := checkTokens(m, c.Tokens); err != nil {
		return nil, err
	}
	if c.Hidden < 0 || c.Depth < 0 || c.Encoder != EncoderMLP && c.Encoder != EncoderLSTM {
		return nil, fmt.Errorf("encoder %q (known: MLP, LSTM) of width %d and depth %d: %w", c.Encoder, c.Hidden, c.Depth, ErrConfig)
	}
	c.baseShape = shapeOf(m)
	return &design{
		config: c, tokens: c.Tokens,
		specs: c.specs(m.Config.Hidden),
		attach: func(m *method, s *scratch) *transformer.Attachment {
			e := c.encoder(m, s)
			return &transformer.Attachment{
				Begin: e.forward, End: e.backward,
				Prompt: &transformer.Prompt{Rows: e.head.out(), DRows: trained(s, e.head.dout()), Tokens: c.Tokens},
			}
		},
		pack: func(ctx context.Context, m *method, _ tensors) (tensors, error) {
			rows, err := m.evaluated(ctx, func(p *tensor.Pass, s *scratch) *tensor.Tensor {
				e := c.encoder(m, s)
				if s.err == nil {
					e.forward(p)
				}
				return e.head.out()
			})
			return tensors{promptName: rows}, err
		},
	}, nil
}

// trained is t in runs that train.
func trained(s *scratch, t *tensor.Tensor) *tensor.Tensor {
	if s.run.Trains() {
		return t
	}
	return nil
}

func (c PTuningConfig) specs(width int) []spec {
	rng := rand.New(rand.NewPCG(c.Seed, 3))
	all := []spec{{name: encoderInput, shape: []int{c.Tokens, width}, init: normal(rng, 1)}}
	if c.Encoder == EncoderMLP {
		all = append(all, denseSpecs("mlp_head.0", c.Hidden, width, rng)...)
		all = append(all, denseSpecs("mlp_head.2", c.Hidden, c.Hidden, rng)...)
		return append(all, denseSpecs("mlp_head.4", width, c.Hidden, rng)...)
	}
	in := width
	for l := range c.Depth {
		all = append(all, lstmSpecs(l, in, c.Hidden, rng)...)
		in = 2 * c.Hidden
	}
	all = append(all, denseSpecs("mlp_head.0", in, in, rng)...)
	return append(all, denseSpecs("mlp_head.2", width, in, rng)...)
}

// promptEncoder computes the virtual tokens in one run.
type promptEncoder struct {
	input Param
	lstm  []*biLSTM
	head  *layers
}

func (c PTuningConfig) encoder(m *method, s *scratch) *promptEncoder {
	e := &promptEncoder{input: m.param(encoderInput)}
	if c.Encoder == EncoderMLP {
		e.head = s.newLayers(c.Tokens, e.input.Value, tensor.ReLU, m.dense("mlp_head.0"), m.dense("mlp_head.2"), m.dense("mlp_head.4"))
		return e
	}
	x, dx := e.input.Value, s.new("encoder.dx", c.Tokens, e.input.Shape[1])
	for l := range c.Depth {
		layer := m.biLSTM(s, l, x, dx)
		e.lstm = append(e.lstm, layer)
		x, dx = layer.y, layer.dy
	}
	e.head = s.newLayers(c.Tokens, x, tensor.ReLU, m.dense("mlp_head.0"), m.dense("mlp_head.2"))
	e.head.dx[0] = dx
	return e
}

func (e *promptEncoder) forward(p *tensor.Pass) {
	for _, l := range e.lstm {
		l.forward(p)
	}
	e.head.forward(p)
}

func (e *promptEncoder) backward(p *tensor.Pass) {
	e.head.backward(p)
	for i := len(e.lstm) - 1; i >= 0; i-- {
		e.lstm[i].backward(p)
	}
	first := e.head.dx[0]
	if len(e.lstm) > 0 {
		first = e.lstm[0].dx
	}
	addGrad(p, e.input, first)
	p.Do(tensor.Fill{Out: e.head.dout()}) // for the next batch
}
