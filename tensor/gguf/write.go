package gguf

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/internal/exact"
)

// Tensor is one tensor to be written.
type Tensor struct {
	Name  string
	DType tensor.DType
	Shape []int  // the outermost dimension first
	Data  []byte // as the type stores it
	// Stream, if Data is nil, writes the data of a tensor that is too large to hold.
	Stream func(w io.Writer) error
}

// alignmentKey says what the data of each tensor begins at a multiple of. It is a uint32.
const alignmentKey = "general.alignment"

// defaultAlignment is what it is where it isn't given.
const defaultAlignment = 32

// Write writes a file of version 3, as gguf-py lays it out: keys and tensors in the
// order given, each tensor's data padded to the alignment. Errors wrap tensor.ErrFormat
// or tensor.ErrUnsupported and name the key or tensor.
func Write(w io.Writer, metadata []KV, tensors []Tensor) error {
	alignment := int64(defaultAlignment)
	var head bytes.Buffer
	head.WriteString("GGUF")
	put(&head, uint32(3), uint64(len(tensors)), uint64(len(metadata)))
	for _, kv := range metadata {
		if err := putKV(&head, kv); err != nil {
			return fmt.Errorf("metadata %s: %w", kv.Key, err)
		}
		if kv.Key == alignmentKey {
			n, ok := narrowed(kv.Value).(uint32)
			if !ok {
				return malformed("metadata %s is a %T, want a uint32", kv.Key, kv.Value)
			}
			alignment = int64(n)
		}
	}
	if err := checkAlignment(alignment); err != nil {
		return err
	}
	offset := int64(0)
	for _, t := range tensors {
		if err := t.check(); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		putText(&head, t.Name)
		put(&head, uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			put(&head, uint64(d))
		}
		put(&head, typeNumbers[t.DType], uint64(offset))
		offset += roundUp(t.bytes(), alignment)
	}
	head.Write(make([]byte, roundUp(int64(head.Len()), alignment)-int64(head.Len())))
	buffered := bufio.NewWriterSize(w, 1<<20)
	if _, err := buffered.Write(head.Bytes()); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.write(buffered, alignment); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return buffered.Flush()
}

// check refuses what New would.
func (t Tensor) check() error {
	if _, ok := typeNumbers[t.DType]; !ok {
		return fmt.Errorf("%v has no form in GGUF: %w", t.DType, tensor.ErrUnsupported)
	}
	if len(t.Shape) < 1 || len(t.Shape) > 4 || slices.Min(t.Shape) < 1 || t.Shape[len(t.Shape)-1]%t.DType.Block() != 0 {
		return malformed("%v%v", t.DType, t.Shape)
	}
	if t.Data != nil && int64(len(t.Data)) != t.bytes() {
		return malformed("%v%v with %d bytes", t.DType, t.Shape, len(t.Data))
	}
	return nil
}

func (t Tensor) bytes() int64 {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return t.DType.Bytes(n)
}

// write writes the data and its padding.
func (t Tensor) write(w io.Writer, alignment int64) error {
	size, stream := t.bytes(), t.Stream
	if stream == nil {
		stream = func(w io.Writer) error { _, err := w.Write(t.Data); return err }
	}
	if err := exact.Write(w, size, stream); err != nil {
		return err
	}
	_, err := w.Write(make([]byte, roundUp(size, alignment)-size))
	return err
}

func roundUp(n, m int64) int64 { return (n + m - 1) / m * m }

// put writes numbers.
func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		_ = binary.Write(b, binary.LittleEndian, v) // numbers into memory: never fails
	}
}

func putText(b *bytes.Buffer, text string) {
	put(b, uint64(len(text)))
	b.WriteString(text)
}

// putKV writes a key. Its Go type says what it is stored as; of the types that New
// gives, integers become uint32 or int32 where they fit, and floats float32, as nearly all
// files have them.
func putKV(b *bytes.Buffer, kv KV) error {
	putText(b, kv.Key)
	if n := narrowed(kv.Value); numberType(n) != numValueTypes {
		put(b, uint32(numberType(n)), n)
		return nil
	}
	switch v := kv.Value.(type) {
	case string:
		put(b, uint32(typeString))
		putText(b, v)
	case []string:
		put(b, uint32(typeArray), uint32(typeString), uint64(len(v)))
		for _, s := range v {
			putText(b, s)
		}
	case []int64:
		putArray(b, typeInt32, v, func(n int64) (any, bool) { return int32(n), n == int64(int32(n)) }, typeInt64)
	case []float64:
		putArray(b, typeFloat32, v, func(f float64) (any, bool) { return float32(f), true }, typeFloat64)
	case []int32:
		put(b, uint32(typeArray), uint32(typeInt32), uint64(len(v)), v)
	case []float32:
		put(b, uint32(typeArray), uint32(typeFloat32), uint64(len(v)), v)
	case []bool:
		put(b, uint32(typeArray), uint32(typeBool), uint64(len(v)), v)
	default:
		return fmt.Errorf("a value of type %T: %w", v, tensor.ErrUnsupported)
	}
	return nil
}

// numberType is the type of a number or bool that is stored as it is, numValueTypes of others.
func numberType(v any) valueType {
	switch v.(type) {
	case uint8:
		return typeUint8
	case int8:
		return typeInt8
	case uint16:
		return typeUint16
	case int16:
		return typeInt16
	case uint32:
		return typeUint32
	case int32:
		return typeInt32
	case float32:
		return typeFloat32
	case bool:
		return typeBool
	case uint64:
		return typeUint64
	case int64:
		return typeInt64
	}
	return numValueTypes
}

// narrowed is a number that New has widened in its usual type.
func narrowed(v any) any {
	switch v := v.(type) {
	case int64:
		switch {
		case v >= 0 && v <= math.MaxUint32:
			return uint32(v)
		case v == int64(int32(v)):
			return int32(v)
		case v > 0:
			return uint64(v)
		}
	case float64:
		return float32(v)
	}
	return v
}

// putArray writes numbers in a narrow type if all of them fit it.
func putArray[T any](b *bytes.Buffer, narrow valueType, v []T, fit func(T) (any, bool), wide valueType) {
	values := make([]any, len(v))
	for i, x := range v {
		var ok bool
		if values[i], ok = fit(x); !ok {
			put(b, uint32(typeArray), uint32(wide), uint64(len(v)), v)
			return
		}
	}
	put(b, uint32(typeArray), uint32(narrow), uint64(len(v)))
	put(b, values...)
}
