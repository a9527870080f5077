package gguf_test

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
)

func number[T any](g *rapid.Generator[T]) *rapid.Generator[any] {
	return rapid.Map(g, func(v T) any { return v })
}

// list has at least one element: an empty array has no type that New could tell.
func list[T any](g *rapid.Generator[T]) *rapid.Generator[any] {
	return rapid.Map(rapid.SliceOfN(g, 1, 4), func(v []T) any { return v })
}

// anyValue draws a value of any type that New gives or Write takes.
var anyValue = rapid.OneOf(
	number(rapid.String()), number(rapid.Bool()), number(rapid.Int64()), number(rapid.Uint64Min(math.MaxInt64+1)),
	number(rapid.Map(rapid.Float32(), func(v float32) float64 { return float64(v) })),
	number(rapid.Uint8()), number(rapid.Int8()), number(rapid.Uint16()), number(rapid.Int16()), number(rapid.Uint32()), number(rapid.Int32()),
	number(rapid.Uint64()), number(rapid.Float32()),
	list(rapid.String()), list(rapid.Bool()), list(rapid.Int64()), list(rapid.Int32()), list(rapid.Float32()),
)

// read is what New gives of a value.
func readAs(v any) any {
	switch v := v.(type) {
	case uint64:
		if v > math.MaxInt64 {
			return v
		}
		return int64(v)
	case []int32:
		wide := make([]int64, len(v))
		for i, x := range v {
			wide[i] = int64(x)
		}
		return wide
	case []float32:
		wide := make([]float64, len(v))
		for i, x := range v {
			wide[i] = float64(x)
		}
		return wide
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return r.Int()
	case r.CanUint():
		return int64(r.Uint())
	case r.CanFloat():
		return r.Float()
	}
	return v
}

// anyTensor draws a tensor of any type and any bytes, of whole blocks.
var anyTensor = rapid.Custom(func(t *rapid.T) gguf.Tensor {
	dt := rapid.SampledFrom([]tensor.DType{
		tensor.F32, tensor.F16, tensor.BF16, tensor.Q8_0, tensor.Q4_0, tensor.Q4_1, tensor.Q5_0, tensor.Q5_1, tensor.Q4_K, tensor.Q5_K, tensor.Q6_K,
	}).Draw(t, "type")
	shape := rapid.SliceOfN(rapid.IntRange(1, 3), 1, 4).Draw(t, "shape")
	shape[len(shape)-1] *= dt.Block()
	n := 1
	for _, d := range shape {
		n *= d
	}
	seed := rapid.Byte().Draw(t, "data") // drawn bytes would be most of the time
	data := make([]byte, dt.Bytes(n))
	for i := range data {
		data[i] = seed + byte(i*i)
	}
	return gguf.Tensor{Name: rapid.StringN(1, 12, -1).Draw(t, "name"), DType: dt, Shape: shape, Data: data}
})

var anyMetadata = rapid.Custom(func(t *rapid.T) []gguf.KV {
	kvs := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) gguf.KV {
		return gguf.KV{Key: rapid.StringN(1, 12, -1).Draw(t, "key"), Value: anyValue.Draw(t, "value")}
	}), 0, 6, func(kv gguf.KV) string { return kv.Key }).Draw(t, "metadata")
	if rapid.Bool().Draw(t, "aligned") {
		kvs = append(kvs, gguf.KV{Key: "general.alignment", Value: uint32(8) << rapid.IntRange(0, 6).Draw(t, "alignment")})
	}
	return kvs
})

// TestAnyRoundTrip: what is written is read again, and what was read, written once more, gives the
// same: any keys and values, any tensors, any alignment.
func TestAnyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metadata := anyMetadata.Draw(t, "metadata")
		tensors := rapid.SliceOfNDistinct(anyTensor, 0, 4, func(x gguf.Tensor) string { return x.Name }).Draw(t, "tensors")
		var wanted []gguf.KV
		for _, kv := range metadata {
			wanted = append(wanted, gguf.KV{Key: kv.Key, Value: readAs(kv.Value)})
		}
		for _, kvs := range [][]gguf.KV{metadata, wanted} {
			var file bytes.Buffer
			if err := gguf.Write(&file, kvs, tensors); err != nil {
				t.Fatal(err)
			}
			f, err := gguf.New(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range wanted {
				if got := f.Metadata[i]; got.Key != want.Key || !same(got.Value, want.Value) {
					t.Errorf("%q: %T %v, want %T %v", want.Key, got.Value, got.Value, want.Value, want.Value)
				}
			}
			if len(f.Metadata) != len(wanted) || len(f.Names()) != len(tensors) {
				t.Errorf("%d keys, %d tensors", len(f.Metadata), len(f.Names()))
			}
			for _, want := range tensors {
				data, e, err := f.Read(want.Name)
				if err != nil || !bytes.Equal(data, want.Data) || !slices.Equal(e.Shape, want.Shape) || e.DType != want.DType {
					t.Errorf("%q: %v, %v", want.Name, e, err)
				}
			}
		}
	})
}

// same compares values, NaN among them.
func same(a, b any) bool {
	x, ok := a.(float64)
	y, also := b.(float64)
	return reflect.DeepEqual(a, b) || ok && also && x != x && y != y
}
