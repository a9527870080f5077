package transformer

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// SetMaxLogits makes the loss work through the vocabulary in smaller parts.
func SetMaxLogits(r *Run, values int) { r.head.logits = view(r.head.logits, values) }

// RandomCheckpoint is a model directory with random weights for a config.
func RandomCheckpoint(t testing.TB, config string, seed uint64) fstest.MapFS {
	t.Helper()
	c, err := ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	w := Weights{Layers: make([]Layer, len(c.Layers))}
	var tensors []safetensors.Tensor
	w.each(c, func(name string, _ **tensor.Tensor, shape []int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := make([]byte, 0, 4*n)
		for range n {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(rng.NormFloat64()*0.3)))
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: shape, Data: data})
	})
	var file bytes.Buffer
	if err := safetensors.Write(&file, nil, tensors); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{
		"config.json":       {Data: []byte(config)},
		"model.safetensors": {Data: file.Bytes()},
	}
}
