package transformer

import (
	"encoding/json"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
)

// ToyKind is the model_type of models small enough to be understood whole, as Elhage et al.
// 2021 (A Mathematical Framework for Transformer Circuits) have them: attention alone or with
// an MLP, with norms or without, with learned positions or rotary ones. It is gpupeft's own:
// no other program knows it. The tensors have Llama's names, and those of learned positions
// are model.embed_positions.weight.
const ToyKind = "gpupeft_toy"

// Toy is a toy's config.json. It has no special tokens.
type Toy struct {
	Vocab     int    `json:"vocab_size"`
	Positions int    `json:"max_position_embeddings"` // the longest sequence
	Width     int    `json:"hidden_size"`             // of the stream, D
	Layers    int    `json:"num_hidden_layers"`
	Heads     int    `json:"num_attention_heads"`
	HeadDim   int    `json:"head_dim"`                // even
	FFN       int    `json:"intermediate_size"`       // width of a gated MLP with SiLU; 0: attention alone
	Norm      string `json:"normalization"`           // "rms" or "none"
	Position  string `json:"position_embedding_type"` // "rotary" or "learned"
	Tied      bool   `json:"tie_word_embeddings"`
}

// ConfigJSON returns the text of the file.
func (t Toy) ConfigJSON() ([]byte, error) {
	return json.MarshalIndent(struct {
		Kind string `json:"model_type"`
		Toy
	}{ToyKind, t}, "", "  ")
}

// Random makes a checkpoint in memory from a config.json of any kind, to train from the
// start: matrices of normal random numbers with a standard deviation, norms that only
// normalise. The seed says which numbers. Errors are those of ParseConfig.
func Random(config []byte, deviation float64, seed uint64) (*Checkpoint, error) {
	c, err := OpenConfig(config)
	if err != nil {
		return nil, err
	}
	rng, w := rand.New(rand.NewPCG(seed, 0)), newWeights(c.Config)
	w.each(c.Config, func(name string, _ **tensor.Tensor, shape []int) {
		c.tensors[name] = held(shape, func() float32 {
			if len(shape) == 1 {
				return 1 - c.Config.NormOffset
			}
			return float32(deviation * rng.NormFloat64())
		})
	})
	c.Format = "memory"
	return c, nil
}

// held is a float32 tensor in memory.
func held(shape []int, next func() float32) Stored {
	s := Stored{DType: tensor.F32, Shape: shape}
	values := make([]float32, shape[0]*s.cols())
	for i := range values {
		values[i] = next()
	}
	data := tensor.Pack(make([]byte, 0, tensor.F32.Bytes(len(values))), tensor.F32, values)
	s.Rows = func(dst []byte, lo, hi int) error {
		copy(dst, data[s.Bytes(0, lo):s.Bytes(0, hi)])
		return nil
	}
	return s
}
