package transformer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// GGUF files name and order things as llama.cpp needs them. Its converter
//
//   - renames tensors: ggufNames below;
//   - for Llama and Mistral, rotates neighbouring values where HF rotates halves, and
//     so interleaves the rows of each head of q_proj and k_proj;
//   - for Gemma, stores norm weights as what is multiplied with, 1+w.

// ggufModels are the architectures by the names that GGUF gives them.
var ggufModels = map[string]struct {
	kind        string // HF's model_type
	interleaved bool   // the rows of q_proj and k_proj
}{
	"llama":   {"llama", true},
	"mistral": {"mistral", true},
	"gemma":   {"gemma", false},
	"gemma2":  {"gemma2", false},
	"gemma3":  {"gemma3_text", false},
}

// ggufNames gives the parts of HF's names that GGUF writes otherwise.
var ggufNames = strings.NewReplacer(
	"model.embed_tokens.", "token_embd.",
	"model.layers.", "blk.",
	"model.norm.", "output_norm.",
	"lm_head.", "output.",
	"self_attn.q_proj.", "attn_q.",
	"self_attn.k_proj.", "attn_k.",
	"self_attn.v_proj.", "attn_v.",
	"self_attn.o_proj.", "attn_output.",
	"self_attn.q_norm.", "attn_q_norm.",
	"self_attn.k_norm.", "attn_k_norm.",
	"mlp.gate_proj.", "ffn_gate.",
	"mlp.up_proj.", "ffn_up.",
	"mlp.down_proj.", "ffn_down.",
	"input_layernorm.", "attn_norm.",
	"pre_feedforward_layernorm.", "ffn_norm.",
	"post_feedforward_layernorm.", "post_ffw_norm.",
)

// ggufName translates a tensor's name. What HF calls post_attention_layernorm comes
// before the MLP, but in Gemma 2 and 3 behind attention.
func ggufName(c *Config, name string) string {
	after := "ffn_norm."
	if c.PostNorms {
		after = "post_attention_norm."
	}
	return ggufNames.Replace(strings.Replace(name, "post_attention_layernorm.", after, 1))
}

// OpenGGUF opens a GGUF file with a Llama, Mistral or Gemma model.
func OpenGGUF(dir fs.FS, name string) (*Checkpoint, error) {
	h, err := dir.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	c, err := newGGUF(h)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), h.Close())
	}
	c.close = h.Close
	return c, nil
}

func newGGUF(h fs.File) (*Checkpoint, error) {
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	r, ok := h.(io.ReaderAt)
	if !ok {
		return nil, fmt.Errorf("file system without random access: %w", ErrUnsupported)
	}
	f, err := gguf.New(r, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrCheckpoint)
	}
	c := &Checkpoint{Format: "gguf", GGUF: f, tensors: map[string]Stored{}}
	if c.Config, err = ggufConfig(f); err != nil {
		return nil, err
	}
	taken := map[string]bool{ropeFreqs: true} // read by ggufConfig
	w := newWeights(c.Config)
	w.each(c.Config, func(name string, _ **tensor.Tensor, _ []int) {
		theirs := ggufName(c.Config, name)
		taken[theirs] = true
		if s, ok := ggufTensor(c.Config, f, name, theirs); ok {
			c.tensors[name] = s
		}
	})
	for _, name := range f.Names() {
		if !taken[name] {
			return nil, fmt.Errorf("tensor %q has no place in a %s model: %w", name, c.Config.Kind, ErrCheckpoint)
		}
	}
	return c, nil
}

// ggufTensor describes a tensor and undoes what the converter did to it.
func ggufTensor(c *Config, f *gguf.File, name, theirs string) (Stored, bool) {
	e, ok := f.Entry(theirs)
	s := Stored{DType: e.DType, Shape: e.Shape}
	s.Rows = func(dst []byte, lo, hi int) error { return f.ReadRows(theirs, dst, lo, hi) }
	switch {
	case ok && ggufInterleaves(name) && ggufModels[ggufArch(f)].interleaved:
		s.Rows = deinterleaved(s, c.HeadDim)
	case ok && c.NormOffset != 0 && len(s.Shape) == 1:
		s.Rows = added(s, -1)
	}
	return s, ok
}

// ggufArch is the file's architecture.
func ggufArch(f *gguf.File) string {
	arch, _ := f.String("general.architecture")
	return arch
}

// ggufConfig makes a config from a file's metadata, by way of the fields that
// config.json would have.
func ggufConfig(f *gguf.File) (*Config, error) {
	arch := ggufArch(f)
	model, ok := ggufModels[arch]
	if !ok {
		return nil, fmt.Errorf("general.architecture %q (known: llama, mistral, gemma, gemma2, gemma3): %w", arch, ErrUnsupported)
	}
	k := ggufKeys{f: f, arch: arch}
	hf := hfConfig{
		ModelType: model.kind,
		Hidden:    k.integer("embedding_length"), FFN: k.integer("feed_forward_length"), Layers: k.integer("block_count"),
		Heads: k.integer("attention.head_count"), KVHeads: k.optional("attention.head_count_kv"), HeadDim: k.optional("attention.key_length"),
		MaxPositions: k.integer("context_length"), RoPETheta: k.float("rope.freq_base"), RoPELocalTheta: k.float("rope.freq_base_swa"),
	}
	if eps := k.float("attention.layer_norm_rms_epsilon"); eps > 0 {
		hf.NormEps = &eps
	}
	hf.BOS, hf.EOS = k.ids("tokenizer.ggml.bos_token_id"), k.ids("tokenizer.ggml.eos_token_id")
	hf.SlidingWindow = k.number("attention.sliding_window")
	hf.AttnSoftCap, hf.FinalSoftCap = k.number("attn_logit_softcapping"), k.number("final_logit_softcapping")
	if hf.SlidingWindow == nil && model.kind == "mistral" {
		hf.SlidingWindow = []byte("null")
	}
	hf.QueryScalar = ggufQueryScalar(&hf)
	embed, ok := f.Entry("token_embd.weight")
	if !ok || len(embed.Shape) != 2 {
		k.fail(fmt.Errorf("tensor token_embd.weight is missing or no matrix: %w", ErrCheckpoint))
	} else {
		hf.VocabSize = embed.Shape[0]
	}
	_, untied := f.Entry("output.weight")
	tied := !untied
	hf.Tied = &tied
	k.rope(&hf)
	if k.err != nil {
		return nil, k.err
	}
	return hf.resolve()
}

// ggufQueryScalar is query_pre_attn_scalar, which GGUF leaves out: the head size, but
// width over heads in the 27B models, which have 46 and 62 layers.
func ggufQueryScalar(hf *hfConfig) float64 {
	if hf.Heads > 0 && (hf.ModelType == "gemma2" && hf.Layers == 46 || hf.ModelType == "gemma3_text" && hf.Layers == 62) {
		return float64(hf.Hidden / hf.Heads)
	}
	return float64(hf.HeadDim)
}

// ggufKeys reads an architecture's metadata. The first error sticks.
type ggufKeys struct {
	f    *gguf.File
	arch string
	err  error
}

func (k *ggufKeys) fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

// integer reads a key that must be there.
func (k *ggufKeys) integer(key string) int {
	if !k.f.Has(k.arch + "." + key) {
		k.fail(fmt.Errorf("metadata %s.%s is missing: %w", k.arch, key, ErrCheckpoint))
		return 0
	}
	return k.optional(key)
}

// optional reads a key that need not be there: 0.
func (k *ggufKeys) optional(key string) int {
	if !k.f.Has(k.arch + "." + key) {
		return 0
	}
	n, err := k.f.Int(k.arch + "." + key)
	if err == nil && (n < 0 || n > math.MaxInt32) {
		err = fmt.Errorf("metadata %s.%s is %d", k.arch, key, n)
	}
	if err != nil {
		k.fail(fmt.Errorf("%w: %w", err, ErrCheckpoint))
	}
	return int(n)
}

// float reads a key that need not be there: 0.
func (k *ggufKeys) float(key string) float64 {
	if !k.f.Has(k.arch + "." + key) {
		return 0
	}
	v, err := k.f.Float(k.arch + "." + key)
	if err != nil {
		k.fail(fmt.Errorf("%w: %w", err, ErrCheckpoint))
	}
	return v
}

// number reads a key as JSON, or nil if it isn't there.
func (k *ggufKeys) number(key string) []byte {
	if !k.f.Has(k.arch + "." + key) {
		return nil
	}
	return fmt.Appendf(nil, "%v", k.float(key))
}

// ids reads a token id under its full key.
func (k *ggufKeys) ids(key string) idList {
	if !k.f.Has(key) {
		return nil
	}
	id, err := k.f.Int(key)
	if err != nil {
		k.fail(fmt.Errorf("%w: %w", err, ErrCheckpoint))
	}
	return idList{int32(id)}
}
