package tensor_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

func TestPassErrors(t *testing.T) {
	b := newCPU(t, 1)
	x, y := vector(t, b, 1, 4, 4), vector(t, b, 2, 4, 4)
	closed := vector(t, b, 1, 4, 4)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	ids, err := b.New("ids", tensor.I32, 4)
	if err != nil {
		t.Fatal(err)
	}
	upper, err := x.Slice(0, 3)
	if err != nil {
		t.Fatal(err)
	}
	lower, err := x.Slice(1, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		op   tensor.Op
		want error
	}{
		{"nothing wrong", tensor.Add{Out: y, A: x, B: x}, nil},
		{"shape", tensor.MatMul{Out: y, X: x, W: vector(t, b, 1, 4, 5)}, tensor.ErrShape},
		{"missing", tensor.MatMul{Out: y, X: x}, tensor.ErrShape},
		{"type", tensor.Fill{Out: ids}, tensor.ErrType},
		{"closed", tensor.Scale{Out: y, X: closed}, tensor.ErrClosed},
		{"result is an input", tensor.Add{Out: x, A: x, B: y}, tensor.ErrShape},
		{"result overlaps an input", tensor.Scale{Out: upper, X: lower}, tensor.ErrShape},
		{"argument", tensor.SoftCap{Out: y, X: x}, tensor.ErrShape},
		{"geometry", tensor.AttentionMix{Z: y, Pattern: x, V: x}, tensor.ErrShape},
	} {
		p := tensor.Begin(b)
		p.Do(tt.op)
		if err := p.Err(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err := p.Submit(t.Context()); !errors.Is(err, tt.want) {
			t.Errorf("%s: Submit gives %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestPassKeepsItsFirstError(t *testing.T) {
	b := newCPU(t, 1)
	x := vector(t, b, 1, 4)
	p := tensor.Begin(b)
	if p.Backend() != tensor.Backend(b) {
		t.Error("the pass runs on another backend")
	}
	first := errors.New("first")
	p.Do(tensor.Fill{Out: x, Value: 2})
	p.Fail(first)
	p.Fail(errors.New("second"))
	p.Do(tensor.Fill{}, tensor.Fill{Out: x, Value: 3})
	if err := p.Submit(t.Context()); !errors.Is(err, first) {
		t.Errorf("Submit gives %v", err)
	}
	if got := floats(t, b, x); got[0] != 1 {
		t.Errorf("a pass with an error ran: %v", got)
	}
	p.Do(tensor.Fill{Out: x, Value: 5})
	if err := p.Submit(t.Context()); err != nil {
		t.Errorf("the pass can't be used again: %v", err)
	}
	if got := floats(t, b, x); got[0] != 5 {
		t.Errorf("the second use gives %v", got)
	}
}

func TestPassCancelled(t *testing.T) {
	b := newCPU(t, 1)
	x := vector(t, b, 1, 4)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := submit(ctx, b, tensor.Fill{Out: x, Value: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("Submit gives %v", err)
	}
	if got := floats(t, b, x); got[0] != 1 {
		t.Errorf("a cancelled pass ran: %v", got)
	}
}

func floats(t testing.TB, b tensor.Backend, x *tensor.Tensor) []float32 {
	t.Helper()
	values, err := tensor.Floats(t.Context(), b, x)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestViews(t *testing.T) {
	b := newCPU(t, 1)
	x, err := tensor.FromFloats(t.Context(), b, "x", []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := x.Slice(1, 3)
	if err != nil {
		t.Fatal(err)
	}
	if got := floats(t, b, rows); !slices.Equal(got, []float32{3, 4, 5, 6, 7, 8}) {
		t.Errorf("rows 1 and 2 are %v", got)
	}
	turned, err := rows.Reshape(3, 2)
	if err != nil {
		t.Fatal(err)
	}
	last, err := turned.Slice(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := submit(t.Context(), b, tensor.Fill{Out: last, Value: -1}); err != nil {
		t.Fatal(err)
	}
	if got := floats(t, b, x); !slices.Equal(got, []float32{0, 1, 2, 3, 4, 5, 6, -1, -1, 9, 10, 11}) {
		t.Errorf("after writing through views: %v", got)
	}
	for _, r := range [][2]int{{-1, 2}, {2, 2}, {3, 2}, {0, 5}} {
		if _, err := x.Slice(r[0], r[1]); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("rows %v: %v", r, err)
		}
	}
	for _, shape := range [][]int{{}, {13}, {-4, -3}, {0}} {
		if _, err := x.Reshape(shape...); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("as %v: %v", shape, err)
		}
	}
}
