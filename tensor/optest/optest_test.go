package optest_test

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

func TestNMSE(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, tt := range []struct {
		name      string
		got, want []float64
		nmse      float64
	}{
		{"equal", []float64{1, -2}, []float64{1, -2}, 0},
		{"one off by a tenth", []float64{1.1, 0}, []float64{1, 0}, 0.01},
		{"infinities match", []float64{-inf, 3}, []float64{-inf, 3}, 0},
		{"the other infinity", []float64{inf, 3}, []float64{-inf, 3}, nan},
		{"infinity missed", []float64{1e30, 3}, []float64{-inf, 3}, nan},
		{"infinity for a number", []float64{-inf, 3}, []float64{1, 3}, nan},
		{"NaN for a number", []float64{nan, 3}, []float64{1, 3}, nan},
		{"NaN wanted", []float64{nan}, []float64{nan}, nan},
		{"nearly nothing", []float64{1e-7}, []float64{0}, 1e-8},
	} {
		got := optest.NMSE(tt.got, tt.want)
		if math.IsNaN(got) != math.IsNaN(tt.nmse) || math.Abs(got-tt.nmse) > 1e-12 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.nmse)
		}
	}
}

func TestCasesAreManyAndNamed(t *testing.T) {
	const promised = 1000
	cases := optest.Cases()
	if len(cases) < promised {
		t.Errorf("%d cases, promised %d", len(cases), promised)
	}
	seen, last, ended := map[string]bool{}, "", map[string]bool{}
	for _, c := range cases {
		if seen[c.Name] {
			t.Errorf("two cases are called %s", c.Name)
		}
		seen[c.Name] = true
		if name, _, _ := strings.Cut(c.Name, "/"); name != last {
			if ended[name] {
				t.Errorf("the cases of %s are not in one piece", name)
			}
			ended[last], last = true, name
		}
	}
}

// faulty is a backend that does something wrong after each run.
type faulty struct {
	tensor.Backend
	fault func(b tensor.Backend, o tensor.Op) error
}

func (f faulty) Run(ctx context.Context, ops []tensor.Op) error {
	if err := f.Backend.Run(ctx, ops); err != nil {
		return err
	}
	return f.fault(f.Backend, ops[len(ops)-1])
}

// TestFaultsAreFound has backends with one fault each fail every case.
func TestFaultsAreFound(t *testing.T) {
	ctx := t.Context()
	oracle := tensor.NewFloat64()
	defer oracle.Close()
	// change rewrites one value of an operand, or one beside it.
	change := func(access tensor.Access, at func(n int) int, to func(old float32) float32) func(tensor.Backend, tensor.Op) error {
		return func(b tensor.Backend, o tensor.Op) error {
			for _, operand := range o.Operands() {
				if (operand.Access == tensor.Read) != (access == tensor.Read) || operand.Tensor.DType != tensor.F32 {
					continue
				}
				s, offset := operand.Tensor.Storage()
				i := offset + at(operand.Tensor.Len())
				value, err := tensor.Wrap(s, "fault", tensor.F32, i+1).Slice(i, i+1)
				if err != nil {
					return err
				}
				data := make([]byte, 4)
				if err := b.Read(ctx, value, data); err != nil {
					return err
				}
				old := math.Float32frombits(binary.LittleEndian.Uint32(data))
				binary.LittleEndian.PutUint32(data, math.Float32bits(to(old)))
				return b.Write(ctx, value, data)
			}
			return nil
		}
	}
	last := func(n int) int { return n - 1 }
	plus := func(v float32) float32 { return v + 1 }
	for _, tt := range []struct {
		name  string
		fault func(tensor.Backend, tensor.Op) error
		want  string
	}{
		{"a wrong value", change(tensor.Write, last, plus), "NMSE"},
		{"a value not written", change(tensor.Write, last, func(float32) float32 { return float32(math.NaN()) }), "NMSE"},
		{"a write behind", change(tensor.Write, func(n int) int { return n }, func(float32) float32 { return 0 }), "behind"},
		{"a write before", change(tensor.Write, func(int) int { return -1 }, func(float32) float32 { return 0 }), "before"},
		{"a changed input", change(tensor.Read, last, plus), "input was changed"},
	} {
		b := faulty{tensor.NewCPU(1), tt.fault}
		for _, name := range []string{"matmul/f32/5x7x3/add=true", "attention/causal/heads=4:2/dim=8", "rope/5x1x6/inverse=false/add=true"} {
			cases := optest.Cases()
			at := slices.IndexFunc(cases, func(c optest.Case) bool { return c.Name == name })
			if at < 0 {
				t.Fatalf("no case %s", name)
			}
			err := cases[at].Check(ctx, b, oracle)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s in %s: %v", tt.name, name, err)
			}
		}
		if got := b.Memory().InUse; got != 0 {
			t.Errorf("%s: %d bytes left", tt.name, got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
