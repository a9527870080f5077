package tensor

import "fmt"

// The gated activation of the MLP (Shazeer 2020, arXiv 2002.05202):
//
//	Out  = a(Gate) · Up
//	DUp  = DOut · a(Gate)
//	DGate = DOut · Up · a'(Gate)

// Activation is the non-linearity a.
type Activation uint8

// The activations of the model families.
const (
	SiLU     Activation = iota // g·σ(g), Llama and Mistral
	GELUTanh                   // g/2·(1+tanh(√(2/π)·(g+0.044715·g³))), Gemma
)

// String gives the HF name.
func (a Activation) String() string {
	switch a {
	case SiLU:
		return "silu"
	case GELUTanh:
		return "gelu_pytorch_tanh"
	}
	return fmt.Sprintf("activation(%d)", uint8(a))
}

// Gated is the forward pass.
type Gated struct {
	Out      *Tensor // [N, F]
	Gate, Up *Tensor // [N, F]
	Act      Activation
}

// Name implements Op.
func (Gated) Name() string { return "gated" }

// Operands implements Op.
func (o Gated) Operands() []Operand {
	return []Operand{out("Out", o.Out), in("Gate", o.Gate), in("Up", o.Up)}
}

// Check implements Op.
func (o Gated) Check() error {
	n, f := lead(o.Out)
	return first(o.Act.check(), want("Out", o.Out, F32, n, f), want("Gate", o.Gate, F32, n, f), want("Up", o.Up, F32, n, f))
}

// Flops implements Op.
func (o Gated) Flops() float64 { return 10 * float64(o.Out.Len()) }

// GatedBackward is the gradient of both inputs.
type GatedBackward struct {
	DGate, DUp *Tensor // [N, F]
	DOut       *Tensor // [N, F]
	Gate, Up   *Tensor // [N, F]
	Act        Activation
}

// Name implements Op.
func (GatedBackward) Name() string { return "gated.backward" }

// Operands implements Op.
func (o GatedBackward) Operands() []Operand {
	return []Operand{out("DGate", o.DGate), out("DUp", o.DUp), in("DOut", o.DOut), in("Gate", o.Gate), in("Up", o.Up)}
}

// Check implements Op.
func (o GatedBackward) Check() error {
	n, f := lead(o.DOut)
	return first(o.Act.check(), want("DOut", o.DOut, F32, n, f), want("Gate", o.Gate, F32, n, f), want("Up", o.Up, F32, n, f),
		want("DGate", o.DGate, F32, n, f), want("DUp", o.DUp, F32, n, f))
}

// Flops implements Op.
func (o GatedBackward) Flops() float64 { return 20 * float64(o.DOut.Len()) }

func (a Activation) check() error {
	if a > GELUTanh {
		return fmt.Errorf("%v: %w", a, ErrUnsupported)
	}
	return nil
}
