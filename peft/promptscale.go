package peft

import (
	"fmt"
	"math"

	"github.com/gpupeft/gpupeft/transformer"
)

// PromptScale says what a soft prompt's file means on Gemma 1 and 2, where versions of
// transformers differ: up to 4 they multiply virtual tokens by √D as they do embeddings,
// from 5 on they take them as they are. PEFT's files don't tell. Save writes the second
// form and says so in the file's metadata.
type PromptScale string

// The two conventions, and to trust the file. On other models they are the same.
const (
	ScaleAuto PromptScale = "auto" // what the file says, and if it doesn't, ScaleHF5
	ScaleHF5  PromptScale = "hf5"  // as stored
	ScaleHF4  PromptScale = "hf4"  // times √D
)

// scaleKey is where the convention stands in the metadata of a safetensors file.
const scaleKey = "prompt_scale"

// matters says whether the conventions differ for a model.
func (s PromptScale) matters(c *transformer.Config) bool {
	return c.Kind == "gemma" || c.Kind == "gemma2"
}

// factor returns what a stored prompt is to be multiplied by.
func (s PromptScale) factor(c *transformer.Config) (float32, error) {
	switch s {
	case ScaleHF5, ScaleAuto, "":
		return 1, nil
	case ScaleHF4:
		if s.matters(c) {
			return float32(math.Sqrt(float64(c.Hidden))), nil
		}
		return 1, nil
	}
	return 0, fmt.Errorf("prompt scale %q (known: auto, hf4, hf5): %w", s, ErrConfig)
}
