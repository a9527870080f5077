package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/safetensors"
)

// file puts a header in front of data.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func open(data []byte) (*safetensors.File, error) {
	return safetensors.New(bytes.NewReader(data), int64(len(data)))
}

func TestRoundTrip(t *testing.T) {
	tensors := []safetensors.Tensor{
		{Name: "b", DType: "F16", Shape: []int{3}, Data: []byte{1, 2, 3, 4, 5, 6}},
		{Name: "z", DType: "F32", Shape: []int{1, 2}, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{Name: "a \"quoted\" <name>", DType: "F32", Shape: []int{}, Data: []byte{9, 9, 9, 9}},
		{Name: "none", DType: "U8", Shape: []int{0, 7}, Data: nil},
	}
	var out bytes.Buffer
	if err := safetensors.Write(&out, map[string]string{"format": "pt"}, tensors); err != nil {
		t.Fatal(err)
	}
	if n := binary.LittleEndian.Uint64(out.Bytes()); n%8 != 0 {
		t.Errorf("header of %d bytes isn't padded", n)
	}
	f, err := open(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if f.Metadata["format"] != "pt" {
		t.Errorf("metadata %v", f.Metadata)
	}
	for _, want := range tensors {
		data, e, err := f.Read(want.Name)
		if err != nil || !bytes.Equal(data, want.Data) || !slices.Equal(e.Shape, want.Shape) || e.DType != want.DType {
			t.Errorf("%s: %v %v %v", want.Name, data, e, err)
		}
	}
	if _, _, err := f.Read("absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent tensor: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	for name, x := range map[string][]safetensors.Tensor{
		"size":      {{Name: "a", DType: "F32", Shape: []int{2}, Data: make([]byte, 4)}},
		"type":      {{Name: "a", DType: "F31", Shape: []int{1}, Data: make([]byte, 4)}},
		"same name": {{Name: "a", DType: "U8", Shape: []int{1}, Data: []byte{1}}, {Name: "a", DType: "U8", Shape: []int{1}, Data: []byte{1}}},
	} {
		if err := safetensors.Write(&bytes.Buffer{}, nil, x); !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestPlace: tensors put in any order make Write's file.
func TestPlace(t *testing.T) {
	tensors := []safetensors.Tensor{
		{Name: "b", DType: "F16", Shape: []int{3}, Data: []byte{1, 2, 3, 4, 5, 6}},
		{Name: "z", DType: "F32", Shape: []int{1, 2}, Data: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{Name: "i", DType: "I32", Shape: []int{1}, Data: []byte{9, 9, 9, 9}},
	}
	var want bytes.Buffer
	if err := safetensors.Write(&want, map[string]string{"format": "pt"}, tensors); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "placed"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p, err := safetensors.Place(file, map[string]string{"format": "pt"}, tensors)
	if err != nil {
		t.Fatal(err)
	}
	bytesOf := func(data ...byte) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(data); return err }
	}
	for name, err := range map[string]error{"too few": p.Put("z", bytesOf(1)), "unknown": p.Put("y", bytesOf(1)), "missing": p.Done()} {
		if !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, x := range tensors {
		if err := p.Put(x.Name, bytesOf(x.Data...)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Put("z", bytesOf(tensors[1].Data...)); !errors.Is(err, tensor.ErrFormat) {
		t.Errorf("twice: got %v", err)
	}
	if got, err := os.ReadFile(file.Name()); err != nil || p.Done() != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%q, %v, want %q", got, err, want.Bytes())
	}
}

// TestMalformed has one file for each rule of the format.
func TestMalformed(t *testing.T) {
	one := func(entry string) string { return `{"a":` + entry + `}` }
	for name, data := range map[string][]byte{
		"empty":                nil,
		"seven bytes":          make([]byte, 7),
		"header past the end":  file(`{}`, 0)[:9],
		"header of 2^63":       binary.LittleEndian.AppendUint64(nil, 1<<63),
		"header of 2^64-1":     binary.LittleEndian.AppendUint64(nil, 1<<64-1),
		"header of 100 MB + 1": append(binary.LittleEndian.AppendUint64(nil, 100_000_001), make([]byte, 100)...),
		"no JSON":              file("hello", 0),
		"leading space":        file(" {}", 0),
		"array":                file("[]", 0),
		"unclosed":             file(`{"a":`, 0),
		"trailing JSON":        file(`{}{}`, 0),
		"invalid UTF-8":        file("{\"\xff\":1}", 0),
		"deep nesting":         file(`{"a":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`}`, 0),
		"no dtype":             file(one(`{"shape":[1],"data_offsets":[0,4]}`), 4),
		"no shape":             file(one(`{"dtype":"F32","data_offsets":[0,4]}`), 4),
		"no offsets":           file(one(`{"dtype":"F32","shape":[1]}`), 4),
		"unknown dtype":        file(one(`{"dtype":"F128","shape":[1],"data_offsets":[0,16]}`), 16),
		"negative offset":      file(one(`{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}`), 4),
		"float offset":         file(one(`{"dtype":"F32","shape":[1],"data_offsets":[0,4.5]}`), 4),
		"reversed offsets":     file(one(`{"dtype":"F32","shape":[1],"data_offsets":[4,0]}`), 4),
		"negative shape":       file(one(`{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}`), 4),
		"shape overflow":       file(one(`{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}`), 0),
		"size mismatch":        file(one(`{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`), 4),
		"short data":           file(one(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`), 4),
		"trailing data":        file(one(`{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`), 5),
		"hole at the start":    file(one(`{"dtype":"F32","shape":[1],"data_offsets":[4,8]}`), 8),
		"hole":                 file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3),
		"overlap":              file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3),
		"name twice":           file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2),
		"metadata twice":       file(`{"__metadata__":{},"__metadata__":{}}`, 0),
		"metadata of numbers":  file(`{"__metadata__":{"a":1}}`, 0),
	} {
		if _, err := open(data); !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTolerated are files that other writers make.
func TestTolerated(t *testing.T) {
	for name, data := range map[string][]byte{
		"no tensors":       file("{}", 0),
		"metadata is null": file(`{"__metadata__":null}`, 0),
		"padding":          file("{}      ", 0),
		"any order":        file(`{"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2),
		"extra field":      file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}`, 1),
		"misaligned":       file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}`, 5),
	} {
		if _, err := open(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShards(t *testing.T) {
	entry := func(name string) []byte {
		return file(fmt.Sprintf(`{%q:{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, name), 1)
	}
	dir := func(index string) fstest.MapFS {
		return fstest.MapFS{
			"model.safetensors.index.json": {Data: []byte(index)},
			"one.safetensors":              {Data: entry("a")},
			"two.safetensors":              {Data: entry("b")},
			"sub/one.safetensors":          {Data: entry("a")},
		}
	}
	c, err := safetensors.Open(dir(`{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}`), "model")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if names := c.Names(); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("names %v", names)
	}
	if _, e, err := c.Read("b"); err != nil || e.Name != "b" {
		t.Errorf("read: %v %v", e, err)
	}
	for name, index := range map[string]string{
		"no JSON":             `{`,
		"empty":               `{}`,
		"parent directory":    `{"weight_map":{"a":"../one.safetensors"}}`,
		"sub-directory":       `{"weight_map":{"a":"sub/one.safetensors"}}`,
		"backslash":           `{"weight_map":{"a":"sub\\one.safetensors"}}`,
		"drive":               `{"weight_map":{"a":"c:one.safetensors"}}`,
		"absolute":            `{"weight_map":{"a":"/one.safetensors"}}`,
		"missing in shard":    `{"weight_map":{"a":"one.safetensors","c":"one.safetensors","b":"two.safetensors"}}`,
		"in the other shard":  `{"weight_map":{"a":"two.safetensors","b":"one.safetensors"}}`,
		"not in the index":    `{"weight_map":{"a":"one.safetensors","x":"two.safetensors"}}`,
		"name is a directory": `{"weight_map":{"a":"."}}`,
	} {
		if _, err := safetensors.Open(dir(index), "model"); !errors.Is(err, tensor.ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := safetensors.Open(dir(`{"weight_map":{"a":"gone.safetensors"}}`), "model"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing shard: got %v", err)
	}
	if _, err := safetensors.Open(fstest.MapFS{}, "model"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no checkpoint: got %v", err)
	}
}

func FuzzNew(f *testing.F) {
	f.Add(file(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"BF16","shape":[],"data_offsets":[2,4]}}`, 4))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := open(data)
		if err != nil {
			return
		}
		total := 0
		for _, name := range file.Names() {
			values, e, err := file.Read(name)
			if err != nil || int64(len(values)) != e.Bytes {
				t.Errorf("%q: %v", name, err)
			}
			total += len(values)
		}
		if total > len(data) {
			t.Errorf("%d bytes of tensors in a file of %d", total, len(data))
		}
	})
}
