package tensor_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// spy hands each operation of a pass to a function before it runs.
type spy struct {
	tensor.Backend
	look func(tensor.Op)
}

func (s spy) Run(ctx context.Context, ops []tensor.Op) error {
	for _, o := range ops {
		s.look(o)
		if err := s.Backend.Run(ctx, []tensor.Op{o}); err != nil {
			return err
		}
	}
	return nil
}

// unbound are operands that may have any shape, because nothing else depends on
// it, and optional ones.
var unbound = map[string]string{
	"fill.Out": "shape", "norm.X": "shape",
	"embed.Extra": "nil", "columns.sums.B": "nil", "gated.Up": "nil", "attention.Segment": "nil", "attention.backward.Segment": "nil", "pattern.scores.Segment": "nil",
	"features.Segment": "nil", "edit.Shift": "nil",
}

// TestCheckRefusesBadOperands takes valid operations from the conformance suite
// and spoils one operand after the other.
func TestCheckRefusesBadOperands(t *testing.T) {
	cpu := newCPU(t, 0)
	done := map[string]bool{}
	b := spy{cpu, func(o tensor.Op) {
		for _, operand := range o.Operands() {
			if name := o.Name() + "." + operand.Name; !done[name] {
				done[name] = true
				spoil(t, cpu, o, operand)
			}
		}
	}}
	for _, c := range firstCases(15) {
		if _, err := c.Run(t.Context(), b); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
	for name := range unbound {
		if !done[name] {
			t.Errorf("no case has %s", name)
		}
	}
}

func spoil(t *testing.T, b tensor.Backend, o tensor.Op, operand tensor.Operand) {
	name := o.Name() + "." + operand.Name
	if err := o.Check(); err != nil {
		t.Errorf("%s: a valid operation is refused: %v", name, err)
	}
	expect := func(what string, bad *tensor.Tensor, want error) {
		err := with(o, operand.Name, bad).Check()
		switch {
		case unbound[name] == what:
			if err != nil {
				t.Errorf("%s with another %s: %v", name, what, err)
			}
		case !errors.Is(err, want):
			t.Errorf("%s with wrong %s: %v, want %v", name, what, err, want)
		}
	}
	expect("nil", nil, tensor.ErrShape)
	x := operand.Tensor
	wrong := tensor.I32
	if x.DType == tensor.I32 {
		wrong = tensor.F32
	}
	expect("type", fresh(t, b, wrong, x.Shape...), tensor.ErrType)
	expect("shape", fresh(t, b, x.DType, x.Rows()+1, x.Cols()+x.DType.Block()), tensor.ErrShape)
}

// with returns a copy of an operation with another value in one field.
func with(o tensor.Op, field string, value any) tensor.Op {
	v := reflect.New(reflect.TypeOf(o)).Elem()
	v.Set(reflect.ValueOf(o))
	v.FieldByName(field).Set(reflect.ValueOf(value))
	return v.Interface().(tensor.Op)
}

func fresh(t *testing.T, b tensor.Backend, dt tensor.DType, shape ...int) *tensor.Tensor {
	x, err := b.New("bad", dt, shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// TestCheckRefusesBadArguments spoils what isn't a tensor.
func TestCheckRefusesBadArguments(t *testing.T) {
	b := newCPU(t, 1)
	x, y, z := vector(t, b, 1, 4, 4), vector(t, b, 1, 4, 4), vector(t, b, 1, 4, 4)
	ids := fresh(t, b, tensor.I32, 4)
	clip := vector(t, b, 1, 2)
	adam := tensor.AdamW{Param: x, M: y, V: z, Grad: vector(t, b, 1, 4, 4), Clip: clip, Beta1: 0.9, Beta2: 0.99, Step: 1}
	h := tensor.Heads{Batch: 1, Queries: 4, Keys: 4, Heads: 2, KVHeads: 1, Dim: 2}
	mix := func(change func(*tensor.Heads)) tensor.Op {
		changed := h
		change(&changed)
		return tensor.AttentionMix{Z: x, Pattern: vector(t, b, 1, 8, 4), V: vector(t, b, 1, 4, 2), Heads: changed}
	}
	step := func(change func(*tensor.AdamW)) tensor.Op {
		changed := adam
		change(&changed)
		return changed
	}
	if err := errors.Join(adam.Check(), mix(func(*tensor.Heads) {}).Check()); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]tensor.Op{
		"step 0":             step(func(a *tensor.AdamW) { a.Step = 0 }),
		"beta of one":        step(func(a *tensor.AdamW) { a.Beta2 = 1 }),
		"negative beta":      step(func(a *tensor.AdamW) { a.Beta1 = -0.1 }),
		"negative norm":      tensor.ClipNorm{Clip: clip, Sums: x, Max: -1},
		"no period":          tensor.AttentionFeatures{Heads: h},
		"cap 0":              tensor.SoftCap{Out: x, X: y},
		"negative cap":       tensor.SoftCapBackward{DX: x, DOut: y, Out: z, Cap: -1},
		"negative first id":  tensor.CrossEntropy{Stats: x, Logits: y, Targets: ids, First: -1},
		"negative logit cap": tensor.CrossEntropyBackward{Logits: x, Stats: y, Targets: ids, SoftCap: -1},
		"odd heads":          mix(func(h *tensor.Heads) { h.KVHeads = 3 }),
		"no keys":            mix(func(h *tensor.Heads) { h.Keys = 0 }),
		"first beyond keys":  mix(func(h *tensor.Heads) { h.First = 1 }),
		"negative first":     mix(func(h *tensor.Heads) { h.First = -1 }),
		"long prefix":        mix(func(h *tensor.Heads) { h.Prefix = 5 }),
		"negative window":    mix(func(h *tensor.Heads) { h.Window = -1 }),
		"negative soft-cap":  mix(func(h *tensor.Heads) { h.SoftCap = -1 }),
		"rope of odd heads":  tensor.RoPE{Out: x, X: y, Table: vector(t, b, 1, 4, 1), Pos: ids},
		"rope of five":       tensor.RoPE{Out: x, X: y, Table: vector(t, b, 1, 4, 6), Pos: ids},
		"copy of no rows":    tensor.Copy{Dst: x, Src: y, Batch: 1},
		"copy beyond dst":    tensor.Copy{Dst: x, Src: y, Batch: 1, Rows: 2, DstFirst: 3},
		"copy beyond src":    tensor.Copy{Dst: x, Src: y, Batch: 1, Rows: 2, SrcFirst: 3},
		"copy onto itself":   tensor.Copy{Dst: x, Src: y, Batch: 2, Rows: 2, DstStride: 1, SrcStride: 1},
		"copy backwards":     tensor.Copy{Dst: x, Src: y, Batch: 2, Rows: 1, DstStride: -1},
	} {
		if err := o.Check(); !errors.Is(err, tensor.ErrShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	gated := tensor.Gated{Out: x, Gate: y, Up: z, Act: 9}
	if err := gated.Check(); !errors.Is(err, tensor.ErrUnsupported) {
		t.Errorf("unknown activation: %v", err)
	}
}
