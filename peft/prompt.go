package peft

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/transformer"
)

// Prompt is prompt tuning (Lester et al. 2021, arXiv 2104.08691): trainable
// vectors in front of the embedded tokens, at positions 0 to n−1.
//
// The vectors are added to nothing and scaled by nothing: they enter the residual
// stream as they are. That is what PEFT with transformers 5 does. transformers 4
// multiplied them by √D on Gemma 1 and 2; see [PromptScale].
type Prompt struct {
	model  *transformer.Model
	params *Params
}

// PromptInit says what the vectors start from.
type PromptInit string

// The ways to start.
const (
	InitText   PromptInit = "text"   // the embeddings of a text, repeated or cut to length
	InitVocab  PromptInit = "vocab"  // the embeddings of random tokens
	InitRandom PromptInit = "random" // N(0, 1), PEFT's default, which trains badly
)

// PromptConfig describes a new prompt.
type PromptConfig struct {
	Tokens int        // virtual tokens, 0 means 20
	Init   PromptInit // "" means InitVocab
	Text   []int32    // the tokens of the text, for InitText
	Seed   uint64
}

// NewPrompt makes a prompt for a model.
func NewPrompt(ctx context.Context, m *transformer.Model, c PromptConfig) (*Prompt, error) {
	if c.Tokens == 0 {
		c.Tokens = 20
	}
	if c.Tokens < 0 || c.Tokens > m.Config.MaxPositions {
		return nil, fmt.Errorf("%d virtual tokens in a context of %d: %w", c.Tokens, m.Config.MaxPositions, ErrConfig)
	}
	rows, err := c.initial(ctx, m)
	if err != nil {
		return nil, err
	}
	return promptFrom(ctx, m, rows)
}

// initial returns the starting vectors, [Tokens, D].
func (c PromptConfig) initial(ctx context.Context, m *transformer.Model) ([]float32, error) {
	rng := rand.New(rand.NewPCG(c.Seed, 1))
	ids := make([]int32, c.Tokens)
	switch c.Init {
	case InitText:
		if len(c.Text) == 0 {
			return nil, fmt.Errorf("prompt init %q without a text: %w", c.Init, ErrConfig)
		}
		for i := range ids {
			ids[i] = c.Text[i%len(c.Text)]
		}
	case InitVocab, "":
		for i := range ids {
			ids[i] = rng.Int32N(int32(m.Config.VocabSize))
		}
	case InitRandom:
		rows := make([]float32, c.Tokens*m.Config.Hidden)
		for i := range rows {
			rows[i] = float32(rng.NormFloat64())
		}
		return rows, nil
	default:
		return nil, fmt.Errorf("prompt init %q (known: text, vocab, random): %w", c.Init, ErrConfig)
	}
	return m.EmbedRows(ctx, ids)
}

func promptFrom(ctx context.Context, m *transformer.Model, rows []float32) (*Prompt, error) {
	n := len(rows) / m.Config.Hidden
	params, err := newParams(ctx, m.Backend(), []spec{{"prompt_embeddings", []int{n, m.Config.Hidden}, rows}})
	if err != nil {
		return nil, err
	}
	return &Prompt{m, params}, nil
}

// Params implements Method.
func (p *Prompt) Params() *Params { return p.params }

// Model implements Method.
func (p *Prompt) Model() *transformer.Model { return p.model }

// Close implements Method.
func (p *Prompt) Close() error { return p.params.Close() }

// Attach implements transformer.Adapter.
func (p *Prompt) Attach(r *transformer.Run) (*transformer.Attachment, error) {
	q := p.params.List[0]
	prompt := &transformer.Prompt{Rows: q.Value}
	if r.Trains() {
		prompt.DRows = q.Grad
	}
	return &transformer.Attachment{Prompt: prompt}, nil
}

func (p *Prompt) fileName(q Param) string { return q.Name }

// PromptScale says what a prompt's file means on Gemma 1 and 2, where versions of
// transformers differ and the file doesn't tell.
type PromptScale string

// The two conventions. On other models they are the same.
const (
	ScaleHF5 PromptScale = "hf5" // as stored; transformers 5, and what Save writes
	ScaleHF4 PromptScale = "hf4" // times √D; transformers up to 4
)

// factor returns what a stored prompt is to be multiplied by.
func (s PromptScale) factor(c *transformer.Config) (float32, error) {
	switch s {
	case ScaleHF5, "":
		return 1, nil
	case ScaleHF4:
		if c.Kind == "gemma" || c.Kind == "gemma2" {
			return float32(math.Sqrt(float64(c.Hidden))), nil
		}
		return 1, nil
	}
	return 0, fmt.Errorf("prompt scale %q (known: hf4, hf5): %w", s, ErrConfig)
}
