package transformer

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// WriteGGUF writes a GGUF file as llama.cpp's converter does: its names, interleaved
// rows of q_proj and k_proj for Llama and Mistral, 1 added to Gemma's norm weights. Of a
// checkpoint that is a GGUF file itself, the metadata are kept; else they are made from
// the config, and tokenizer holds those of the tokenizer.
func (c *Checkpoint) WriteGGUF(w io.Writer, tokenizer []gguf.KV) error {
	meta, err := c.ggufMetadata(tokenizer)
	if err != nil {
		return err
	}
	model := ggufModels[ggufArchOf(c.Config)]
	var tensors []gguf.Tensor
	weights := newWeights(c.Config)
	weights.each(c.Config, func(name string, _ **tensor.Tensor, _ []int) {
		s := c.placed(name) // vectors are F32 there, too
		switch {
		case model.interleaved && ggufInterleaves(name):
			s.Rows = interleaved(s, c.Config.HeadDim)
		case c.Config.NormOffset != 0 && len(s.Shape) == 1:
			s.Rows = added(s, 1)
		}
		tensors = append(tensors, gguf.Tensor{
			Name: ggufName(c.Config, name), DType: s.DType, Shape: s.Shape,
			Stream: func(w io.Writer) error { return s.write(w, func(piece []byte) []byte { return piece }) },
		})
	})
	if factors := ropeDivisors(c.Config); factors != nil {
		tensors = slices.Insert(tensors, 1, gguf.Tensor{
			Name: ropeFreqs, DType: tensor.F32, Shape: []int{len(factors)},
			Data: tensor.Pack(nil, tensor.F32, factors),
		})
	}
	return gguf.Write(w, meta, tensors)
}

// ggufArchOf returns the architecture's name for a config.
func ggufArchOf(c *Config) string {
	if c.Kind == "gemma3_text" {
		return "gemma3"
	}
	if c.Kind == "mistral" { // llama.cpp has no other name for it
		return "llama"
	}
	return c.Kind
}

// ropeDivisors are what a model with Llama 3's rotary embedding divides frequencies by,
// else nil.
func ropeDivisors(c *Config) []float32 {
	r := c.Layers[0].RoPE
	if r.Kind != "llama3" {
		return nil
	}
	plain := RoPE{Kind: "default", Theta: r.Theta, Factor: 1}.frequencies(c.HeadDim)
	for i, f := range r.frequencies(c.HeadDim) {
		plain[i] /= f
	}
	return plain
}

// ggufMetadata are the file's keys.
func (c *Checkpoint) ggufMetadata(tokenizer []gguf.KV) ([]gguf.KV, error) {
	if c.GGUF != nil {
		return c.GGUF.Metadata, nil
	}
	if err := ggufCanSay(c.Config); err != nil {
		return nil, err
	}
	cfg, arch := c.Config, ggufArchOf(c.Config)
	full := cfg.Layers[max(0, slices.IndexFunc(cfg.Layers, func(l LayerConfig) bool { return l.Window == 0 }))].RoPE
	meta := []gguf.KV{{Key: "general.architecture", Value: arch}, {Key: "general.alignment", Value: uint32(32)}}
	add := func(key string, value any) { meta = append(meta, gguf.KV{Key: arch + "." + key, Value: value}) }
	add("block_count", uint32(len(cfg.Layers)))
	add("context_length", uint32(cfg.MaxPositions))
	add("embedding_length", uint32(cfg.Hidden))
	add("feed_forward_length", uint32(cfg.FFN))
	add("attention.head_count", uint32(cfg.Heads))
	add("attention.head_count_kv", uint32(cfg.KVHeads))
	add("attention.key_length", uint32(cfg.HeadDim))
	add("attention.value_length", uint32(cfg.HeadDim))
	add("attention.layer_norm_rms_epsilon", cfg.NormEps)
	add("rope.dimension_count", uint32(cfg.HeadDim))
	add("rope.freq_base", float32(full.Theta))
	add("vocab_size", uint32(cfg.VocabSize))
	if full.Kind == "linear" {
		add("rope.scaling.type", "linear")
		add("rope.scaling.factor", float32(full.Factor))
	}
	if window := slices.MaxFunc(cfg.Layers, func(a, b LayerConfig) int { return a.Window - b.Window }).Window; window > 0 {
		add("attention.sliding_window", uint32(window))
	}
	if cfg.AttnSoftCap > 0 {
		add("attn_logit_softcapping", cfg.AttnSoftCap)
	}
	if cfg.FinalSoftCap > 0 {
		add("final_logit_softcapping", cfg.FinalSoftCap)
	}
	return append(meta, tokenizer...), nil
}

// ggufCanSay makes sure that a reader guesses right what GGUF leaves out.
func ggufCanSay(c *Config) error {
	if c.Kind == ToyKind {
		return fmt.Errorf("a model of kind %s has no form in GGUF: %w", c.Kind, ErrUnsupported)
	}
	guess := hfConfig{ModelType: c.Kind, Hidden: c.Hidden, Heads: c.Heads, HeadDim: c.HeadDim, Layers: len(c.Layers)}
	if scale := float32(1 / math.Sqrt(ggufQueryScalar(&guess))); scale != c.AttnScale {
		return fmt.Errorf("queries are scaled by %v, GGUF would mean %v: %w", c.AttnScale, scale, ErrUnsupported)
	}
	if pattern := families[c.Kind].pattern; pattern > 0 {
		for i, l := range c.Layers {
			if (l.Window > 0) != ((i+1)%pattern != 0) {
				return fmt.Errorf("layer %d has a window of %d, GGUF would mean that every layer but each %dth has one: %w", i, l.Window, pattern, ErrUnsupported)
			}
		}
	}
	for i, l := range c.Layers {
		if l.RoPE.Kind == "llama3" {
			want := llama3Passage
			want.Theta, want.Factor = l.RoPE.Theta, l.RoPE.Factor
			if l.RoPE != want {
				return fmt.Errorf("layer %d: the rotary embedding %+v has no form in GGUF: %w", i, l.RoPE, ErrUnsupported)
			}
		}
	}
	if c.Kind == "mistral" && slices.ContainsFunc(c.Layers, func(l LayerConfig) bool { return l.Window > 0 && l.Window < c.MaxPositions }) {
		return fmt.Errorf("a sliding window of Mistral has no form in GGUF: %w", ErrUnsupported)
	}
	return nil
}

// ggufInterleaves says whether a tensor's rows are interleaved in models whose are.
func ggufInterleaves(name string) bool {
	return strings.HasSuffix(name, "q_proj.weight") || strings.HasSuffix(name, "k_proj.weight")
}

// interleaved reads rows in GGUF's order, which puts the halves of a head of d rows
// between each other.
func interleaved(s Stored, d int) func([]byte, int, int) error {
	return s.reordered(func(r int) int { return r/d*d + r%2*(d/2) + r%d/2 })
}

// deinterleaved is the inverse: of a head, the even rows, then the odd ones.
func deinterleaved(s Stored, d int) func([]byte, int, int) error {
	return s.reordered(func(r int) int { return r/d*d + 2*(r%d%(d/2)) + r%d/(d/2) })
}

// added reads values with a number added.
func added(s Stored, n float32) func([]byte, int, int) error {
	read := s.Rows
	return func(dst []byte, lo, hi int) error {
		if err := read(dst, lo, hi); err != nil {
			return err
		}
		values := tensor.Unpack(nil, s.DType, dst)
		for i := range values {
			values[i] += n
		}
		copy(dst, tensor.Pack(nil, s.DType, values))
		return nil
	}
}
