package optest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
)

// Tolerance is the NMSE that float32 arithmetic may have: a relative error of
// about 3e-4, far above rounding and far below any real mistake.
const Tolerance = 1e-7

// The roots mean square below which outputs are nothing but rounding errors.
const (
	negligible       = 1e-3 // of numbers around 1
	negligibleScores = 3e-2 // of inner products over a head, summed over heads
)

// Case is one operation, or a few that belong together, with its inputs.
type Case struct {
	// Name is unique, and begins with the operation's: "matmul/bf16/1x64x3".
	Name string
	// Tolerance is the largest NMSE of an output; 0 asks for equal values.
	Tolerance float64

	negligible float64 // of the outputs
	build      func(*inputs) []tensor.Op
}

// operation is the first part of the case's name.
func (c Case) operation() string {
	name, _, _ := strings.Cut(c.Name, "/")
	return name
}

// Output is one result of a case.
type Output struct {
	Name   string // operation and operand: "matmul.Out"
	Values []float64
	// Negligible is the root mean square below which the output counts as zero:
	// a gradient whose terms cancel consists of their rounding errors.
	Negligible float64
	// Exact outputs are integers.
	Exact bool
}

// Run runs the case on a backend and returns what its operations wrote, in the
// order of their operands. The error says so if anything else was changed.
func (c Case) Run(ctx context.Context, b tensor.Backend) (_ []Output, err error) {
	in := newInputs(b, c.Name)
	defer func() { err = errors.Join(err, in.close()) }()
	ops := c.build(in)
	if in.err != nil {
		return nil, in.err
	}
	in.poison(ops)
	if err := in.write(ctx); err != nil {
		return nil, err
	}
	p := tensor.Begin(b)
	p.Do(ops...)
	if err := p.Submit(ctx); err != nil {
		return nil, err
	}
	outputs, err := in.results(ctx, ops)
	for i := range outputs {
		outputs[i].Negligible = c.negligible
	}
	return outputs, err
}

// Check runs the case on an oracle and on a backend, and compares what they wrote.
func (c Case) Check(ctx context.Context, b, oracle tensor.Backend) error {
	want, err := c.Run(ctx, oracle)
	if err != nil {
		return fmt.Errorf("oracle: %w", err)
	}
	got, err := c.Run(ctx, b)
	if err != nil {
		return err
	}
	return Compare(got, want, c.Tolerance)
}

// Ops returns the operations of the case, on tensors without values: to see what a backend
// would do. free closes the tensors.
func (c Case) Ops(b tensor.Backend) (ops []tensor.Op, free func() error, err error) {
	in := newInputs(b, c.Name)
	in.blank = true
	ops = c.build(in)
	return ops, in.close, in.err
}

// poison fills those operands with NaN that are written before they are read.
func (in *inputs) poison(ops []tensor.Op) {
	seen := map[*tensor.Tensor]bool{}
	for _, o := range ops {
		for _, operand := range o.Operands() {
			t := operand.Tensor
			if operand.Access == tensor.Write && !seen[t] {
				slot := in.slots[t]
				slot.fill(slot.lo, slot.hi)
			}
			seen[t] = true
		}
	}
}

// results reads all operands back and checks that nothing was changed but what
// the operations say they write.
func (in *inputs) results(ctx context.Context, ops []tensor.Op) ([]Output, error) {
	names, order := map[*tensor.Tensor]string{}, []*tensor.Tensor{}
	for _, o := range ops {
		for _, operand := range o.Operands() {
			t := operand.Tensor
			if _, known := names[t]; operand.Access != tensor.Read && !known {
				names[t] = o.Name() + "." + operand.Name
				order = append(order, t)
			}
		}
	}
	after := map[*tensor.Tensor][]byte{}
	for t, slot := range in.slots {
		data := make([]byte, len(slot.data))
		if err := in.backend.Read(ctx, slot.base, data); err != nil {
			return nil, err
		}
		if err := slot.unchanged(data, names[t] != ""); err != nil {
			return nil, fmt.Errorf("%v: %w", t, err)
		}
		after[t] = data[slot.lo:slot.hi]
	}
	var outputs []Output
	for _, t := range order {
		outputs = append(outputs, Output{Name: names[t], Values: decode(t.DType, after[t]), Exact: t.DType == tensor.I32})
	}
	return outputs, nil
}

// unchanged compares an allocation's bytes with those before, except the
// tensor's own if it was written.
func (s *slot) unchanged(data []byte, written bool) error {
	switch {
	case !bytes.Equal(data[:s.lo], s.data[:s.lo]):
		return errors.New("the memory before it was changed")
	case !bytes.Equal(data[s.hi:], s.data[s.hi:]):
		return errors.New("the memory behind it was changed")
	case !written && !bytes.Equal(data, s.data):
		return errors.New("an input was changed")
	}
	return nil
}

func decode(dt tensor.DType, data []byte) []float64 {
	values := make([]float64, len(data)/4)
	for i := range values {
		bits := binary.LittleEndian.Uint32(data[4*i:])
		if values[i] = float64(math.Float32frombits(bits)); dt == tensor.I32 {
			values[i] = float64(int32(bits))
		}
	}
	return values
}
