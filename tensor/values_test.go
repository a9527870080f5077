package tensor_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

func TestValues(t *testing.T) {
	b := newCPU(t, 1)
	x, err := tensor.FromFloats(t.Context(), b, "x", []float32{1, -2, 3.5, 0}, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if got := x.String(); got != "x f32[2 2]" {
		t.Errorf("made %s", got)
	}
	if got := floats(t, b, x); !slices.Equal(got, []float32{1, -2, 3.5, 0}) {
		t.Errorf("floats %v", got)
	}
	ids, err := tensor.FromInts(t.Context(), b, "ids", []int32{7, -1, 1 << 30}, 3)
	if err != nil {
		t.Fatal(err)
	}
	ints := make([]int32, 3)
	if err := tensor.ReadInts(t.Context(), b, ids, ints); err != nil || !slices.Equal(ints, []int32{7, -1, 1 << 30}) {
		t.Errorf("ints %v, %v", ints, err)
	}
}

func TestValuesErrors(t *testing.T) {
	b := newCPU(t, 1)
	x, ids := vector(t, b, 0, 4), fresh(t, b, tensor.I32, 4)
	_, ofInts := tensor.Floats(t.Context(), b, ids)
	_, wrongShape := tensor.FromFloats(t.Context(), b, "x", make([]float32, 3), 2, 2)
	_, wrongInts := tensor.FromInts(t.Context(), b, "x", make([]int32, 3), 2, 2)
	_, noShape := tensor.FromFloats(t.Context(), b, "x", nil)
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"floats of ints", ofInts, tensor.ErrType},
		{"ints of floats", tensor.ReadInts(t.Context(), b, x, make([]int32, 4)), tensor.ErrType},
		{"floats into ints", tensor.WriteFloats(t.Context(), b, ids, make([]float32, 4)), tensor.ErrType},
		{"ints into floats", tensor.WriteInts(t.Context(), b, x, make([]int32, 4)), tensor.ErrType},
		{"too few to write", tensor.WriteFloats(t.Context(), b, x, make([]float32, 3)), tensor.ErrShape},
		{"too much room to read", tensor.ReadFloats(t.Context(), b, x, make([]float32, 5)), tensor.ErrShape},
		{"too few for the shape", wrongShape, tensor.ErrShape},
		{"too few ints for the shape", wrongInts, tensor.ErrShape},
		{"no shape", noShape, tensor.ErrShape},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	if got := b.Memory().Tensors; got != 2 {
		t.Errorf("%d tensors live, 2 were made without an error", got)
	}
}

func TestFloat64KeepsPrecision(t *testing.T) {
	g := newGraph(t)
	x := g.junk(2)
	want := []float64{1 + 0x1p-40, -1e300}
	g.write(x, want)
	if got := g.read(x); !slices.Equal(got, want) {
		t.Errorf("%v comes back as %v", want, got)
	}
	if got := floats(t, g.oracle, x); got[0] != 1 {
		t.Errorf("rounded to %v", got[0])
	}
	if err := g.oracle.Read64(t.Context(), x, make([]float64, 3)); !errors.Is(err, tensor.ErrShape) {
		t.Errorf("room for 3 values of 2: %v", err)
	}
	if err := g.oracle.Write64(t.Context(), g.ints(1), []float64{1}); !errors.Is(err, tensor.ErrType) {
		t.Errorf("float64 into ints: %v", err)
	}
}
