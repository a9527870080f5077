package transformer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
)

// Config is a model's shape, with the differences between the families resolved
// into numbers. ParseConfig makes one from HF's config.json.
type Config struct {
	Kind string // HF's model_type: llama, mistral, gemma, gemma2, gemma3_text; or ToyKind

	VocabSize    int
	Hidden       int // width of the residual stream, D
	FFN          int // width of the MLP, F; 0: there is none (toys)
	Heads        int // query heads, H
	KVHeads      int // key and value heads, K
	HeadDim      int // h; H·h need not be D
	MaxPositions int // the context the model was made for
	Layers       []LayerConfig

	NormEps      float32
	NormOffset   float32 // added to norm weights: 1 for Gemma
	Act          tensor.Activation
	EmbedScale   float32 // factor of token embeddings: √D for Gemma, else 1
	AttnScale    float32 // factor of q·k
	AttnSoftCap  float32 // 0: none
	FinalSoftCap float32 // of the logits; 0: none
	PostNorms    bool    // Gemma 2 and 3 also normalise what a sublayer gives
	QKNorm       bool    // Gemma 3 normalises each query and key head
	Tied         bool    // the output matrix is the embedding matrix
	NoNorms      bool    // nothing is normalised (toys)
	// LearnedPositions says that each position has a vector, which is added to the
	// embedding of the token there (toys).
	LearnedPositions bool

	BOS, EOS []int32 // as config.json gives them; may be empty
}

// LayerConfig is what may differ from layer to layer.
type LayerConfig struct {
	Window int // keys that a query sees, 0: all
	RoPE   RoPE
}

// hfConfig holds the fields of config.json that matter, in the old and the new
// form (rope_parameters, layer_types).
type hfConfig struct {
	ModelType        string          `json:"model_type"`
	VocabSize        int             `json:"vocab_size"`
	Hidden           int             `json:"hidden_size"`
	FFN              int             `json:"intermediate_size"`
	Layers           int             `json:"num_hidden_layers"`
	Heads            int             `json:"num_attention_heads"`
	KVHeads          int             `json:"num_key_value_heads"`
	HeadDim          int             `json:"head_dim"`
	MaxPositions     int             `json:"max_position_embeddings"`
	NormEps          *float64        `json:"rms_norm_eps"`
	HiddenAct        string          `json:"hidden_act"`
	HiddenActivation string          `json:"hidden_activation"`
	Tied             *bool           `json:"tie_word_embeddings"`
	AttentionBias    bool            `json:"attention_bias"`
	MLPBias          bool            `json:"mlp_bias"`
	SlidingWindow    json.RawMessage `json:"sliding_window"`
	SlidingPattern   int             `json:"sliding_window_pattern"`
	SlidingPattern2  int             `json:"_sliding_window_pattern"`
	LayerTypes       []string        `json:"layer_types"`
	RoPETheta        float64         `json:"rope_theta"`
	RoPELocalTheta   float64         `json:"rope_local_base_freq"`
	RoPEScaling      json.RawMessage `json:"rope_scaling"`
	RoPEParameters   json.RawMessage `json:"rope_parameters"`
	AttnSoftCap      json.RawMessage `json:"attn_logit_softcapping"`
	FinalSoftCap     json.RawMessage `json:"final_logit_softcapping"`
	QueryScalar      float64         `json:"query_pre_attn_scalar"`
	BOS              idList          `json:"bos_token_id"`
	EOS              idList          `json:"eos_token_id"`
	Bidirectional    bool            `json:"use_bidirectional_attention"`
	Quantization     *hfQuantization `json:"quantization_config"`
	Text             json.RawMessage `json:"text_config"`
	DType            string          `json:"dtype"`
	TorchDType       string          `json:"torch_dtype"` // its old name

	// Of ToyKind alone.
	Normalization string `json:"normalization"`
	PositionType  string `json:"position_embedding_type"`
}

// hfQuantization is how a checkpoint says that its matrices are packed.
type hfQuantization struct {
	Method  string `json:"quant_method"`
	In4Bit  bool   `json:"load_in_4bit"`
	Storage string `json:"bnb_4bit_quant_storage"`
}

// refuse names the packings that can't be read.
func (q *hfQuantization) refuse() error {
	switch {
	case q == nil:
		return nil
	case q.Method != "bitsandbytes":
		return fmt.Errorf("quantization_config: quant_method %q (known: bitsandbytes in 4 bits, and GGUF files; or take the unquantized checkpoint): %w", q.Method, ErrUnsupported)
	case !q.In4Bit:
		return fmt.Errorf("quantization_config: bitsandbytes without load_in_4bit (its 8-bit form isn't known): %w", ErrUnsupported)
	case q.Storage != "" && q.Storage != "uint8":
		return fmt.Errorf("quantization_config: bnb_4bit_quant_storage %q (known: uint8): %w", q.Storage, ErrUnsupported)
	}
	return nil
}

// family is how a model type differs from Llama, and what its HF class takes for
// fields that config.json leaves out.
type family struct {
	gemma       bool // norm weight 1+w, scaled embeddings, tanh-GELU
	postNorms   bool
	qkNorm      bool
	queryScalar float64 // default of query_pre_attn_scalar; 0: the head size
	softCaps    [2]float64
	window      int // default sliding_window
	pattern     int // every pattern-th layer sees everything; 0: all layers are alike
	headDim     int // default head_dim; 0: hidden/heads
	heads       int // default num_attention_heads; 0: none
	kvHeads     int // default num_key_value_heads; 0: heads
	theta       float64
	localTheta  float64 // of the sliding layers; 0: the same
	eps         float64
	vocab       int
	positions   int
	toy         bool // what the Toy fields say; an MLP is optional
}

var families = map[string]family{
	"llama":   {theta: 1e4, eps: 1e-6, vocab: 32000, positions: 2048},
	"mistral": {window: 4096, kvHeads: 8, theta: 1e4, eps: 1e-6, vocab: 32000, positions: 131072},
	"gemma":   {gemma: true, headDim: 256, kvHeads: 16, theta: 1e4, eps: 1e-6, vocab: 256000, positions: 8192},
	"gemma2": {
		gemma: true, postNorms: true, queryScalar: 256, softCaps: [2]float64{50, 30}, window: 4096, pattern: 2,
		headDim: 256, kvHeads: 4, theta: 1e4, eps: 1e-6, vocab: 256000, positions: 8192,
	},
	"gemma3_text": {
		gemma: true, postNorms: true, qkNorm: true, queryScalar: 256, window: 4096, pattern: 6,
		headDim: 256, heads: 8, kvHeads: 4, theta: 1e6, localTheta: 1e4, eps: 1e-6, vocab: 262208, positions: 131072,
	},
	ToyKind: {toy: true, theta: 1e4, eps: 1e-6},
}

// ParseConfig reads HF's config.json. Errors wrap ErrUnsupported, for models that
// are well-formed but not ours, or ErrCheckpoint, and name the field.
func ParseConfig(data []byte) (*Config, error) {
	hf, err := decodeConfig(data)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	c, err := hf.resolve()
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return c, nil
}

// decodeConfig reads the fields. Of a Gemma 3 that sees, too, it takes the language
// model, whose config stands inside the other.
func decodeConfig(data []byte) (hf hfConfig, err error) {
	if err := json.Unmarshal(data, &hf); err != nil {
		return hf, fmt.Errorf("%v: %w", err, ErrCheckpoint)
	}
	if hf.ModelType == "gemma3" && hf.Text != nil {
		if err := json.Unmarshal(hf.Text, &hf); err != nil { // fields that it lacks stay
			return hf, fmt.Errorf("text_config: %v: %w", err, ErrCheckpoint)
		}
	}
	return hf, nil
}

// resolve turns the fields into a Config.
func (hf *hfConfig) resolve() (*Config, error) {
	f, ok := families[hf.ModelType]
	if !ok {
		return nil, fmt.Errorf("model_type %q (known: %s): %w", hf.ModelType, strings.Join(slices.Sorted(maps.Keys(families)), ", "), ErrUnsupported)
	}
	if err := errors.Join(hf.refuse(), hf.Quantization.refuse()); err != nil {
		return nil, err
	}
	hf.applyDefaults(f)
	c := &Config{
		Kind: hf.ModelType, VocabSize: hf.VocabSize, Hidden: hf.Hidden, FFN: hf.FFN, Heads: hf.Heads, KVHeads: hf.KVHeads,
		HeadDim: hf.HeadDim, MaxPositions: hf.MaxPositions, NormEps: float32(*hf.NormEps), EmbedScale: 1,
		PostNorms: f.postNorms, QKNorm: f.qkNorm, Tied: f.gemma, BOS: hf.BOS, EOS: hf.EOS,
	}
	if hf.Tied != nil {
		c.Tied = *hf.Tied
	}
	if f.toy {
		c.NoNorms, c.LearnedPositions = hf.Normalization == "none", hf.PositionType == "learned"
	}
	if err := c.check(hf.Layers); err != nil {
		return nil, err
	}
	if f.gemma {
		c.NormOffset, c.Act, c.EmbedScale = 1, tensor.GELUTanh, float32(math.Sqrt(float64(hf.Hidden)))
	}
	scalar := hf.QueryScalar
	if f.queryScalar == 0 {
		scalar = float64(c.HeadDim)
	}
	if c.AttnScale = float32(1 / math.Sqrt(scalar)); !(c.AttnScale > 0 && c.AttnScale <= math.MaxFloat32) {
		return nil, fmt.Errorf("query_pre_attn_scalar is %v: %w", scalar, ErrCheckpoint)
	}
	var err error
	if c.AttnSoftCap, err = softCap("attn_logit_softcapping", hf.AttnSoftCap, f.softCaps[0]); err != nil {
		return nil, err
	}
	if c.FinalSoftCap, err = softCap("final_logit_softcapping", hf.FinalSoftCap, f.softCaps[1]); err != nil {
		return nil, err
	}
	c.Layers, err = hf.layers(f)
	return c, err
}

// refuse names what a config asks for and gpupeft doesn't do.
func (hf *hfConfig) refuse() error {
	act := hf.HiddenAct
	if hf.HiddenActivation != "" {
		act = hf.HiddenActivation
	}
	gemma := families[hf.ModelType].gemma
	okAct := act == "" || (!gemma && act == "silu") || (gemma && (act == "gelu_pytorch_tanh" || act == "gelu"))
	switch {
	case hf.AttentionBias:
		return fmt.Errorf("attention_bias: %w", ErrUnsupported)
	case hf.MLPBias:
		return fmt.Errorf("mlp_bias: %w", ErrUnsupported)
	case hf.Bidirectional:
		return fmt.Errorf("use_bidirectional_attention: %w", ErrUnsupported)
	case families[hf.ModelType].toy && !slices.Contains([]string{"", "rms", "none"}, hf.Normalization):
		return fmt.Errorf("normalization %q (known: rms, none): %w", hf.Normalization, ErrUnsupported)
	case families[hf.ModelType].toy && !slices.Contains([]string{"", "rotary", "learned"}, hf.PositionType):
		return fmt.Errorf("position_embedding_type %q (known: rotary, learned): %w", hf.PositionType, ErrUnsupported)
	case !okAct:
		return fmt.Errorf("hidden_act %q for %s: %w", act, hf.ModelType, ErrUnsupported)
	}
	return nil
}

// applyDefaults fills in what HF's config class would.
func (hf *hfConfig) applyDefaults(f family) {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&hf.VocabSize, f.vocab)
	set(&hf.MaxPositions, f.positions)
	set(&hf.Heads, f.heads)
	if f.kvHeads == 0 {
		f.kvHeads = hf.Heads
	}
	set(&hf.KVHeads, f.kvHeads)
	if f.headDim == 0 && hf.Heads > 0 {
		f.headDim = hf.Hidden / hf.Heads
	}
	set(&hf.HeadDim, f.headDim)
	set(&hf.SlidingPattern, hf.SlidingPattern2)
	set(&hf.SlidingPattern, f.pattern)
	if hf.NormEps == nil {
		hf.NormEps = &f.eps
	}
	if hf.QueryScalar == 0 {
		hf.QueryScalar = f.queryScalar
	}
	if hf.RoPETheta == 0 {
		hf.RoPETheta = f.theta
	}
	if hf.RoPELocalTheta == 0 {
		hf.RoPELocalTheta = f.localTheta
	}
}

// check verifies the sizes before anything is computed from them.
func (c *Config) check(layers int) error {
	const most = 1 << 24
	width := c.FFN
	if c.Kind == ToyKind && width == 0 { // attention alone
		width = 1
	}
	for _, field := range []struct {
		name  string
		value int
	}{
		{"vocab_size", c.VocabSize},
		{"hidden_size", c.Hidden},
		{"intermediate_size", width},
		{"num_hidden_layers", layers},
		{"num_attention_heads", c.Heads},
		{"num_key_value_heads", c.KVHeads},
		{"head_dim", c.HeadDim},
		{"max_position_embeddings", c.MaxPositions},
	} {
		if field.value < 1 || field.value > most {
			return fmt.Errorf("%s is %d: %w", field.name, field.value, ErrCheckpoint)
		}
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d: %w", c.Heads, c.KVHeads, ErrCheckpoint)
	case c.HeadDim%2 != 0:
		return fmt.Errorf("head_dim %d is odd: %w", c.HeadDim, ErrCheckpoint)
	case layers > 1000:
		return fmt.Errorf("num_hidden_layers is %d: %w", layers, ErrCheckpoint)
	case !(c.NormEps >= 0):
		return fmt.Errorf("rms_norm_eps is %v: %w", c.NormEps, ErrCheckpoint)
	}
	return nil
}

// layers works out window and rotary embedding of each layer.
func (hf *hfConfig) layers(f family) ([]LayerConfig, error) {
	window := f.window
	if len(hf.SlidingWindow) > 0 {
		window = 0 // what null means: every key is seen
		if err := json.Unmarshal(hf.SlidingWindow, &window); err != nil || window < 0 {
			return nil, fmt.Errorf("sliding_window is %s: %w", hf.SlidingWindow, ErrCheckpoint)
		}
	}
	full, sliding, err := hf.ropes(f)
	if err != nil {
		return nil, err
	}
	if hf.LayerTypes != nil && len(hf.LayerTypes) != hf.Layers {
		return nil, fmt.Errorf("%d layer_types for %d layers: %w", len(hf.LayerTypes), hf.Layers, ErrCheckpoint)
	}
	layers := make([]LayerConfig, hf.Layers)
	for i := range layers {
		slides, err := hf.slides(i, window)
		if err != nil {
			return nil, err
		}
		layers[i] = LayerConfig{RoPE: full}
		if slides {
			layers[i] = LayerConfig{Window: window, RoPE: sliding}
		}
	}
	return layers, nil
}

// slides says whether layer i sees only a window.
func (hf *hfConfig) slides(i, window int) (bool, error) {
	switch {
	case hf.LayerTypes != nil:
		t := hf.LayerTypes[i]
		if !slices.Contains([]string{"full_attention", "sliding_attention"}, t) {
			return false, fmt.Errorf("layer type %q: %w", t, ErrUnsupported)
		}
		return t == "sliding_attention" && window > 0, nil
	case hf.SlidingPattern > 0:
		return (i+1)%hf.SlidingPattern != 0 && window > 0, nil
	default:
		return window > 0 && hf.ModelType == "mistral", nil
	}
}

// softCap reads an optional number: absent means the family's default, null none.
func softCap(field string, raw json.RawMessage, otherwise float64) (float32, error) {
	if len(raw) == 0 {
		return float32(otherwise), nil
	}
	var v *float64
	if err := json.Unmarshal(raw, &v); err != nil || (v != nil && (float32(*v) <= 0 || *v > math.MaxFloat32)) {
		return 0, fmt.Errorf("%s is %s: %w", field, raw, ErrCheckpoint)
	}
	if v == nil {
		return 0, nil
	}
	return float32(*v), nil
}

// idList is a token id or a list of them, as HF writes either.
type idList []int32

// UnmarshalJSON implements json.Unmarshaler.
func (l *idList) UnmarshalJSON(data []byte) error {
	var one *int32
	if json.Unmarshal(data, &one) == nil {
		if one != nil {
			*l = idList{*one}
		}
		return nil
	}
	return json.Unmarshal(data, (*[]int32)(l))
}
