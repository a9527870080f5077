package transformer

import (
	"errors"
	"iter"

	"github.com/gpupeft/gpupeft/tensor"
)

// Model is a frozen checkpoint on a backend. It is only read after Load, so any
// number of goroutines may use it.
type Model struct {
	Config  *Config
	Weights Weights
	backend tensor.Backend
}

// Weights are a model's parameters. Matrices are stored [out, in] in the
// checkpoint's own type; norm weights are float32.
type Weights struct {
	Embed     *tensor.Tensor // [V, D]
	Positions *tensor.Tensor // [MaxPositions, D]; nil unless they are learned
	Unembed   *tensor.Tensor // [V, D]; Embed itself if the two are tied
	Norm      *tensor.Tensor // [D]; nil, as the layers' norms, where nothing is normalised
	Layers    []Layer
}

// Layer is one block's parameters.
type Layer struct {
	Proj                 [NumProj]*tensor.Tensor // [out, in], see Proj.Size; those of an MLP nil without one
	Norm1, Norm2         *tensor.Tensor          // [D], before attention and before the MLP
	Norm1Post, Norm2Post *tensor.Tensor          // [D], Gemma 2 and 3
	QNorm, KNorm         *tensor.Tensor          // [h], Gemma 3
}

// Backend returns what the model runs on.
func (m *Model) Backend() tensor.Backend { return m.backend }

// Tensors returns all parameters, under HF's names; tied ones once.
func (m *Model) Tensors() iter.Seq[*tensor.Tensor] {
	return func(yield func(*tensor.Tensor) bool) {
		more := true
		m.Weights.each(m.Config, func(_ string, t **tensor.Tensor, _ []int) { more = more && yield(*t) })
	}
}

// Weight returns a parameter by HF's name, or nil. The output matrix of a tied model
// is the embedding matrix.
func (m *Model) Weight(name string) *tensor.Tensor {
	if name == unembedName {
		return m.Weights.Unembed
	}
	var found *tensor.Tensor
	m.Weights.each(m.Config, func(n string, t **tensor.Tensor, _ []int) {
		if n == name {
			found = *t
		}
	})
	return found
}

// Bytes returns the memory that the weights take on the backend.
func (m *Model) Bytes() int64 {
	n := int64(0)
	for t := range m.Tensors() {
		n += t.Bytes()
	}
	return n
}

// Params returns the number of parameters.
func (m *Model) Params() int64 {
	n := int64(0)
	for t := range m.Tensors() {
		n += int64(t.Len())
	}
	return n
}

// Close frees the weights. The backend stays open.
func (m *Model) Close() error {
	var err error
	for t := range m.Tensors() { // nil where loading ended early
		err = errors.Join(err, t.Close())
	}
	return err
}
