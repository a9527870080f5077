package tensor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Values between Go slices and tensors. A [Backend] moves little-endian bytes;
// these helpers move numbers.

// FromFloats makes an F32 tensor that holds data. Errors wrap ErrShape if the
// shape doesn't hold len(data) values, or are the backend's own.
func FromFloats(ctx context.Context, b Backend, name string, data []float32, shape ...int) (*Tensor, error) {
	t, err := b.New(name, F32, shape...)
	if err != nil {
		return nil, err
	}
	return closeUnless(WriteFloats(ctx, b, t, data), t)
}

// FromInts makes an I32 tensor that holds data. Errors are those of FromFloats.
func FromInts(ctx context.Context, b Backend, name string, data []int32, shape ...int) (*Tensor, error) {
	t, err := b.New(name, I32, shape...)
	if err != nil {
		return nil, err
	}
	return closeUnless(WriteInts(ctx, b, t, data), t)
}

// floatReader is a backend whose values needn't become bytes on their way.
type floatReader interface {
	readFloats(ctx context.Context, t *Tensor, dst []float32) error
}

// Floats waits for all earlier work on an F32 tensor and returns its values.
func Floats(ctx context.Context, b Backend, t *Tensor) ([]float32, error) {
	dst := make([]float32, t.Len())
	if err := ReadFloats(ctx, b, t, dst); err != nil {
		return nil, err
	}
	return dst, nil
}

// ReadFloats waits for all earlier work on an F32 tensor and copies its values
// to dst, which must have room for just as many.
func ReadFloats(ctx context.Context, b Backend, t *Tensor, dst []float32) error {
	if err := checkValues(t, F32, len(dst)); err != nil {
		return err
	}
	if h, ok := b.(floatReader); ok {
		return h.readFloats(ctx, t, dst)
	}
	data := make([]byte, t.Bytes())
	if err := b.Read(ctx, t, data); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return nil
}

// ReadInts is ReadFloats for an I32 tensor.
func ReadInts(ctx context.Context, b Backend, t *Tensor, dst []int32) error {
	if err := checkValues(t, I32, len(dst)); err != nil {
		return err
	}
	data := make([]byte, t.Bytes())
	if err := b.Read(ctx, t, data); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return nil
}

// WriteFloats replaces all values of an F32 tensor.
func WriteFloats(ctx context.Context, b Backend, t *Tensor, src []float32) error {
	if err := checkValues(t, F32, len(src)); err != nil {
		return err
	}
	data := make([]byte, t.Bytes())
	for i, v := range src {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	return b.Write(ctx, t, data)
}

// WriteInts replaces all values of an I32 tensor.
func WriteInts(ctx context.Context, b Backend, t *Tensor, src []int32) error {
	if err := checkValues(t, I32, len(src)); err != nil {
		return err
	}
	data := make([]byte, t.Bytes())
	for i, v := range src {
		binary.LittleEndian.PutUint32(data[4*i:], uint32(v))
	}
	return b.Write(ctx, t, data)
}

// checkValues verifies that a slice of n values of type dt fits t.
func checkValues(t *Tensor, dt DType, n int) error {
	if t.DType != dt {
		return fmt.Errorf("%v must be %v: %w", t, dt, ErrType)
	}
	if t.Len() != n {
		return fmt.Errorf("%v and %d values: %w", t, n, ErrShape)
	}
	return nil
}

// closeUnless gives a new tensor back if its values couldn't be written.
func closeUnless(err error, t *Tensor) (*Tensor, error) {
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}
