package peft

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/transformer"
)

// PromptConfig is prompt tuning (Lester et al. 2021, arXiv 2104.08691): trainable
// vectors in front of the embedded tokens, at positions 0 to n−1.
//
// The vectors are added to nothing and scaled by nothing: they enter the residual
// stream as they are. That is what PEFT with transformers 5 does. transformers 4
// multiplied them by √D on Gemma 1 and 2; see [PromptScale].
type PromptConfig struct {
	Tokens int `json:"num_virtual_tokens"` // 0 means 20
	baseShape

	Init PromptInit `json:"-"` // "" means InitVocab
	Text []int32    `json:"-"` // the tokens of the text, for InitText
	Seed uint64     `json:"-"`
}

// PromptInit says what virtual tokens start from.
type PromptInit string

// The ways to start.
const (
	InitText   PromptInit = "text"   // the embeddings of a text, repeated or cut to length
	InitVocab  PromptInit = "vocab"  // the embeddings of random tokens
	InitRandom PromptInit = "random" // N(0, 1), PEFT's default, which trains badly
)

// Name implements Config.
func (c PromptConfig) Name() string { return "prompt" }

func (c PromptConfig) complete() error { return completeTokens(c.Tokens) }

// promptName is PEFT's name of what all prompt methods store.
const promptName = "prompt_embeddings"

func (c PromptConfig) design(m *transformer.Model) (*design, error) {
	if c.Tokens == 0 {
		c.Tokens = defaultTokens
	}
	if err := checkTokens(m, c.Tokens); err != nil {
		return nil, err
	}
	c.baseShape = shapeOf(m)
	init, err := c.Init.values(m, c.Tokens, c.Text, c.Seed)
	if err != nil {
		return nil, err
	}
	return &design{
		config: c, tokens: c.Tokens,
		specs: []spec{{name: promptName, shape: []int{c.Tokens, m.Config.Hidden}, init: init}},
		attach: func(m *method, s *scratch) *transformer.Attachment {
			p := m.param(promptName)
			return &transformer.Attachment{Prompt: &transformer.Prompt{Rows: p.Value, DRows: s.grad(p), Tokens: c.Tokens}}
		},
	}, nil
}

// defaultTokens is the number of virtual tokens that is meant by none.
const defaultTokens = 20

// baseShape is what PEFT notes about the model in the files of prompt methods.
type baseShape struct {
	Layers int `json:"num_layers,omitempty"`
	Heads  int `json:"num_attention_heads,omitempty"`
	Width  int `json:"token_dim,omitempty"`
}

func shapeOf(m *transformer.Model) baseShape {
	return baseShape{len(m.Config.Layers), m.Config.Heads, m.Config.Hidden}
}

// completeTokens checks what the file of a prompt method must say.
func completeTokens(n int) error {
	if n < 1 {
		return fmt.Errorf("num_virtual_tokens is %d", n)
	}
	return nil
}

// checkTokens makes sure that virtual tokens leave room for others.
func checkTokens(m *transformer.Model, n int) error {
	if n < 1 || n >= m.Config.MaxPositions {
		return fmt.Errorf("%d virtual tokens in a context of %d: %w", n, m.Config.MaxPositions, ErrConfig)
	}
	return nil
}

// values returns what sets n starting vectors, [n, D].
func (i PromptInit) values(m *transformer.Model, n int, text []int32, seed uint64) (starting, error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	ids := make([]int32, n)
	switch i {
	case InitText:
		if len(text) == 0 {
			return nil, fmt.Errorf("prompt init %q without a text: %w", i, ErrConfig)
		}
		for j := range ids {
			ids[j] = text[j%len(text)]
		}
	case InitVocab, "":
		for j := range ids {
			ids[j] = rng.Int32N(int32(m.Config.VocabSize))
		}
	case InitRandom:
		return normal(rng, 1), nil
	default:
		return nil, fmt.Errorf("prompt init %q (known: text, vocab, random): %w", i, ErrConfig)
	}
	return func(ctx context.Context, dst []float32) error {
		rows, err := m.EmbedRows(ctx, ids)
		copy(dst, rows)
		return err
	}, nil
}
