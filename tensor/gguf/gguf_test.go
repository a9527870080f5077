package gguf_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/gguf"
)

// open reads a file's header.
func open(t *testing.T, data []byte) *gguf.File {
	t.Helper()
	f, err := gguf.New(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMetadata: values come back as they were written, widened.
func TestMetadata(t *testing.T) {
	f := open(t, sample(t))
	for key, want := range map[string]any{
		"general.architecture": "llama", "u8": int64(200), "i8": int64(-3), "u16": int64(60000), "i16": int64(-300), "i32": int64(-70000),
		"u64": uint64(math.MaxUint64), "f32": 0.5, "bool": true, "strings": []string{"", "ä", "long enough"}, "ints": []int64{-1, 0, 7},
		"floats": []float64{1.5, -2}, "bools": []bool{true, false},
	} {
		found := false
		for _, kv := range f.Metadata {
			if kv.Key == key {
				found = reflect.DeepEqual(kv.Value, want)
			}
		}
		if !found {
			t.Errorf("%s is not %v", key, want)
		}
	}
	if v, err := f.Float("i8"); v != -3 || err != nil {
		t.Errorf("an integer as a float: %v, %v", v, err)
	}
	for _, wrong := range []func() error{
		func() error { _, err := f.Int("f32"); return err },
		func() error { _, err := f.String("u8"); return err },
		func() error { _, err := f.Bool("none"); return err },
		func() error { _, err := f.Strings("ints"); return err },
	} {
		if err := wrong(); !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("got %v", err)
		}
	}
}

// TestRewrite: what was read is written again as the same bytes.
func TestRewrite(t *testing.T) {
	for _, name := range []string{"v3.gguf", "v2.gguf"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "gguf", name))
		if err != nil {
			t.Fatal(err)
		}
		f := open(t, data)
		var tensors []gguf.Tensor
		for _, n := range []string{"w.f32", "w.f16", "w.bf16", "w.q8_0", "w.q4_0", "w.q4_1", "w.q5_0", "w.q5_1", "w.q4_k", "w.q5_k", "w.q6_k", "vector"} {
			content, e, err := f.Read(n)
			if err != nil {
				t.Fatal(err)
			}
			if want := []int{3, 256}; n != "vector" && !reflect.DeepEqual(e.Shape, want) {
				t.Errorf("%s: shape %v, want %v", n, e.Shape, want)
			}
			tensors = append(tensors, gguf.Tensor{
				Name: n, DType: e.DType, Shape: e.Shape,
				Stream: func(w io.Writer) error { _, err := w.Write(content); return err },
			})
		}
		var b bytes.Buffer
		if err := gguf.Write(&b, f.Metadata, tensors); err != nil {
			t.Fatal(err)
		}
		data[4] = 3 // versions 2 and 3 differ in nothing but the number
		if !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%s: not the bytes that gguf-py wrote", name)
		}
	}
}

// TestWrittenIntegers: what New gives of integers of any width, and of the alignment, Write takes.
func TestWrittenIntegers(t *testing.T) {
	var b bytes.Buffer
	kvs := []gguf.KV{
		{Key: "general.alignment", Value: int64(64)},
		{Key: "a", Value: int64(math.MinInt32 - 1)},
		{Key: "b", Value: int64(math.MinInt64)},
		{Key: "c", Value: int64(math.MaxInt64)},
		{Key: "d", Value: int64(math.MaxUint32 + 1)},
		{Key: "e", Value: uint64(math.MaxUint64)},
	}
	w := gguf.Tensor{Name: "w", DType: tensor.F32, Shape: []int{1}, Data: []byte{1, 2, 3, 4}}
	if err := gguf.Write(&b, kvs, []gguf.Tensor{w, {Name: "v", DType: tensor.F32, Shape: []int{1}, Data: []byte{5, 6, 7, 8}}}); err != nil {
		t.Fatal(err)
	}
	f := open(t, b.Bytes())
	if !reflect.DeepEqual(f.Metadata, kvs) {
		t.Errorf("%v, want %v", f.Metadata, kvs)
	}
	if data, _, err := f.Read("v"); err != nil || !bytes.Equal(data, []byte{5, 6, 7, 8}) {
		t.Errorf("%v, %v", data, err)
	}
	for _, n := range []any{int32(-32), uint64(32), "32", 32.0} {
		if err := gguf.Write(&b, []gguf.KV{{Key: "general.alignment", Value: n}}, nil); !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("an alignment of %T: %v", n, err)
		}
	}
}

func TestReadRows(t *testing.T) {
	f := open(t, sample(t))
	all, e, err := f.Read("w.q4_k")
	if err != nil || e.DType != tensor.Q4_K || len(all) != 3*144 {
		t.Fatalf("%d bytes of %v, %v", len(all), e, err)
	}
	row := make([]byte, 144)
	if err := f.ReadRows("w.q4_k", row, 1, 2); err != nil || !bytes.Equal(row, all[144:288]) {
		t.Errorf("row 1 is another one, %v", err)
	}
	for _, bad := range [][2]int{{-1, 0}, {2, 4}, {1, 1}, {0, 2}} {
		if err := f.ReadRows("w.q4_k", row, bad[0], bad[1]); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("rows %v: %v", bad, err)
		}
	}
	if err := f.ReadRows("none", row, 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown tensor: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	data := make([]byte, 64)
	for name, c := range map[string]struct {
		meta   []gguf.KV
		tensor gguf.Tensor
		want   error
	}{
		"value":       {[]gguf.KV{{Key: "a", Value: struct{}{}}}, gguf.Tensor{Name: "w", DType: tensor.F32, Shape: []int{16}, Data: data}, tensor.ErrUnsupported},
		"alignment":   {[]gguf.KV{{Key: "general.alignment", Value: uint32(33)}}, gguf.Tensor{Name: "w", DType: tensor.F32, Shape: []int{16}, Data: data}, tensor.ErrFormat},
		"type":        {nil, gguf.Tensor{Name: "w", DType: tensor.NF4, Shape: []int{64}, Data: data[:36]}, tensor.ErrUnsupported},
		"size":        {nil, gguf.Tensor{Name: "w", DType: tensor.F32, Shape: []int{15}, Data: data}, tensor.ErrFormat},
		"shape":       {nil, gguf.Tensor{Name: "w", DType: tensor.F32, Shape: []int{16, 0}, Data: data}, tensor.ErrFormat},
		"stream size": {nil, gguf.Tensor{Name: "w", DType: tensor.F32, Shape: []int{16}, Stream: func(io.Writer) error { return nil }}, tensor.ErrFormat},
	} {
		if err := gguf.Write(io.Discard, c.meta, []gguf.Tensor{c.tensor}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
