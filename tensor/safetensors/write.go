package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/internal/exact"
)

// Tensor is one tensor to be written.
type Tensor struct {
	Name  string
	DType string // "F32", …
	Shape []int
	Data  []byte // little-endian, row-major
	// Stream, if Data is nil, writes the data of a tensor that is too large to hold.
	Stream func(w io.Writer) error
}

// Write writes a file as the reference implementation lays it out: tensors by
// type, the widest first, then by name; the header padded with spaces to a
// multiple of eight bytes.
func Write(w io.Writer, metadata map[string]string, tensors []Tensor) error {
	for _, t := range tensors {
		if t.Stream == nil && t.bytes() != int64(len(t.Data)) {
			return fmt.Errorf("tensor %q: %s %v with %d bytes: %w", t.Name, t.DType, t.Shape, len(t.Data), tensor.ErrFormat)
		}
	}
	tensors = inOrder(tensors)
	header, err := buildHeader(metadata, tensors)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}

// inOrder sorts tensors as they lie in a file.
func inOrder(tensors []Tensor) []Tensor {
	return slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(elementBytes[b.DType], elementBytes[a.DType]),
			cmp.Compare(a.DType, b.DType), cmp.Compare(a.Name, b.Name))
	})
}

// write writes the data and makes sure that it has the right length.
func (t Tensor) write(w io.Writer) error {
	if t.Stream == nil {
		_, err := w.Write(t.Data)
		return err
	}
	if err := exact.Write(w, t.bytes(), t.Stream); err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return nil
}

// bytes returns the size that type and shape make; 0 for an unknown type.
func (t Tensor) bytes() int64 {
	n := elementBytes[t.DType]
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// buildHeader returns what comes before the data of tensors in order.
func buildHeader(metadata map[string]string, tensors []Tensor) ([]byte, error) {
	var b bytes.Buffer
	field := func(name string, value any) error {
		k, err := json.Marshal(name)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
		return nil
	}
	b.WriteByte('{')
	if len(metadata) > 0 {
		if err := field("__metadata__", metadata); err != nil {
			return nil, err
		}
	}
	offset := int64(0)
	for i, t := range tensors {
		want := t.bytes()
		_, known := elementBytes[t.DType]
		if !known || (i > 0 && t.Name == tensors[i-1].Name) {
			return nil, fmt.Errorf("tensor %q: %s %v, or twice: %w", t.Name, t.DType, t.Shape, tensor.ErrFormat)
		}
		entry := struct {
			DType   string   `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, t.Shape, [2]int64{offset, offset + want}}
		if err := field(t.Name, entry); err != nil {
			return nil, err
		}
		offset += want
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(b.Len())), b.Bytes()...), nil
}
