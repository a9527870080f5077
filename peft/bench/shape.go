package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// ErrShape is a name that is none of [Shapes].
var ErrShape = errors.New("unknown model shape")

// shape is what of a Llama's config.json matters here.
type shape struct {
	Kind      string  `json:"model_type"`
	Vocab     int     `json:"vocab_size"`
	Hidden    int     `json:"hidden_size"`
	FFN       int     `json:"intermediate_size"`
	Layers    int     `json:"num_hidden_layers"`
	Heads     int     `json:"num_attention_heads"`
	KVHeads   int     `json:"num_key_value_heads"`
	HeadDim   int     `json:"head_dim"`
	Positions int     `json:"max_position_embeddings"`
	Eps       float64 `json:"rms_norm_eps"`
	Tied      bool    `json:"tie_word_embeddings"`
}

// llama is a shape, its numbers in the order of config.json.
func llama(vocab, hidden, ffn, layers, heads, kvHeads int, tied bool) shape {
	return shape{"llama", vocab, hidden, ffn, layers, heads, kvHeads, hidden / heads, 4096, 1e-5, tied}
}

var shapes = map[string]shape{
	"tiny":         llama(256, 128, 352, 2, 4, 2, true),
	"stories260k":  llama(512, 64, 172, 5, 8, 4, true),
	"smollm2-135m": llama(49152, 576, 1536, 30, 9, 3, true),
	"llama-3.2-1b": llama(128256, 2048, 8192, 16, 32, 8, true),
	"tinyllama-1b": llama(32000, 2048, 5632, 22, 32, 4, false),
	"llama-2-7b":   llama(32000, 4096, 11008, 32, 32, 32, false),
	"llama-3.1-8b": llama(128256, 4096, 14336, 32, 32, 8, false),
}

// Shapes returns the names of the model shapes that are known.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// Model returns a model of a shape whose weights are random, with the blocks of the first
// layers; all of them if layers is 0. Its matrices have the type dt, but that for a
// quantized one the embedding and output matrices are Q8_0, as in
// [transformer.Checkpoint.Quantized].
func Model(name string, layers int, dt tensor.DType) (*transformer.Checkpoint, error) {
	s, ok := shapes[name]
	if !ok {
		return nil, fmt.Errorf("%w %q (known: %s)", ErrShape, name, strings.Join(Shapes(), ", "))
	}
	if layers > 0 {
		s.Layers = layers
	}
	config, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	c, err := transformer.OpenConfig(config)
	if err != nil {
		return nil, err
	}
	if dt.Quantized() {
		if c, err = c.Quantized(dt); err != nil {
			return nil, err
		}
	}
	random := map[string]transformer.Stored{}
	for _, name := range c.Names() {
		t, _ := c.Tensor(name)
		if !dt.Quantized() {
			t.DType = dt
		}
		if len(t.Shape) == 1 {
			t.DType = tensor.F32
		}
		random[name] = transformer.Stored{DType: t.DType, Shape: t.Shape, Rows: randomRows(t)}
	}
	return c.With(random), nil
}

// distinctRows is the number of different rows of a random matrix: making more would take
// longer than measuring.
const distinctRows = 64

// randomRows gives rows of normal values that keep the size of activations; norms are 1.
func randomRows(t transformer.Stored) func(dst []byte, lo, hi int) error {
	size := int(t.Bytes(0, 1))
	rows := sync.OnceValue(func() []byte { return randomValues(t) })
	return func(dst []byte, lo, hi int) error {
		all := rows()
		n := len(all) / size
		for r := lo; r < hi; r++ {
			copy(dst[(r-lo)*size:][:size], all[r%n*size:])
		}
		return nil
	}
}

func randomValues(t transformer.Stored) []byte {
	if len(t.Shape) == 1 {
		values := make([]float32, t.Shape[0])
		for i := range values {
			values[i] = 1
		}
		return tensor.Pack(nil, t.DType, values)
	}
	rng := rand.New(rand.NewPCG(1, uint64(t.Shape[0])))
	var all []byte
	values := make([]float32, t.Shape[1])
	for range min(distinctRows, t.Shape[0]) {
		for i := range values {
			values[i] = float32(rng.NormFloat64()) / 32
		}
		all = tensor.Pack(all, t.DType, values)
	}
	return all
}
