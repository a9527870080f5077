package safetensors_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

var typeBytes = map[string]int{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

// anyTensor draws a tensor of any type and shape, scalars and empty ones among them.
var anyTensor = rapid.Custom(func(t *rapid.T) safetensors.Tensor {
	x := safetensors.Tensor{
		Name:  rapid.String().Filter(func(s string) bool { return s != "__metadata__" }).Draw(t, "name"),
		DType: rapid.SampledFrom(slices.Sorted(maps.Keys(typeBytes))).Draw(t, "type"),
		Shape: rapid.SliceOfN(rapid.IntRange(0, 5), 0, 4).Draw(t, "shape"),
	}
	n := typeBytes[x.DType]
	for _, d := range x.Shape {
		n *= d
	}
	x.Data = rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "data")
	return x
})

// TestAnyRoundTrip: what is written is read again, whatever the names, types, shapes, values and
// metadata, and the file doesn't depend on the order in which tensors are given.
func TestAnyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tensors := rapid.SliceOfNDistinct(anyTensor, 0, 6, func(x safetensors.Tensor) string { return x.Name }).Draw(t, "tensors")
		metadata := rapid.MapOfN(rapid.String(), rapid.String(), 0, 4).Draw(t, "metadata")
		var file, other bytes.Buffer
		if err := safetensors.Write(&file, metadata, tensors); err != nil {
			t.Fatal(err)
		}
		if err := safetensors.Write(&other, metadata, rapid.Permutation(tensors).Draw(t, "order")); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file.Bytes(), other.Bytes()) {
			t.Error("another order gives another file")
		}
		f, err := open(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(f.Metadata, metadata) {
			t.Errorf("metadata %q, want %q", f.Metadata, metadata)
		}
		if len(f.Names()) != len(tensors) {
			t.Errorf("tensors %q", f.Names())
		}
		for _, want := range tensors {
			data, e, err := f.Read(want.Name)
			if err != nil || !bytes.Equal(data, want.Data) || !slices.Equal(e.Shape, want.Shape) || e.DType != want.DType {
				t.Errorf("%q: %v %v %v, want %v", want.Name, data, e, err, want)
			}
		}
	})
}
