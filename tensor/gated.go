package tensor

import "fmt"

// The gated activation of the MLP (Shazeer 2020, arXiv 2002.05202), and without Up,
// where 1 stands for it, the activation alone:
//
//	Out  = a(Gate) · Up
//	DUp  = DOut · a(Gate)
//	DGate = DOut · Up · a'(Gate)

// Activation is the non-linearity a.
type Activation uint8

// The activations: of the model families first, then those of adapters.
const (
	SiLU      Activation = iota // g·σ(g), Llama and Mistral
	GELUTanh                    // g/2·(1+tanh(√(2/π)·(g+0.044715·g³))), Gemma
	GELU                        // g/2·(1+erf(g/√2))
	ReLU                        // max(g, 0), with slope 0 at 0
	LeakyReLU                   // g, or 0.01·g where g is not positive
	Sigmoid                     // σ(g) = 1/(1+e⁻ᵍ)
	Tanh                        // tanh g
	Identity                    // g: a product of two tensors
	numActivations
)

var activationNames = [numActivations]string{
	SiLU: "silu", GELUTanh: "gelu_pytorch_tanh", GELU: "gelu", ReLU: "relu", LeakyReLU: "leaky_relu",
	Sigmoid: "sigmoid", Tanh: "tanh", Identity: "linear",
}

// String gives the HF name.
func (a Activation) String() string {
	if a < numActivations {
		return activationNames[a]
	}
	return fmt.Sprintf("activation(%d)", uint8(a))
}

// Activations returns all activations.
func Activations() []Activation {
	all := make([]Activation, numActivations)
	for i := range all {
		all[i] = Activation(i)
	}
	return all
}

// Gated is the forward pass.
type Gated struct {
	Out  *Tensor // [N, F]
	Gate *Tensor // [N, F]
	Up   *Tensor // [N, F], optional
	Act  Activation
}

// Name implements Op.
func (Gated) Name() string { return "gated" }

// Operands implements Op.
func (o Gated) Operands() []Operand {
	return optional([]Operand{out("Out", o.Out), in("Gate", o.Gate)}, in("Up", o.Up))
}

// Check implements Op.
func (o Gated) Check() error {
	n, f := lead(o.Out)
	return first(o.Act.check(), want("Out", o.Out, F32, n, f), want("Gate", o.Gate, F32, n, f), wantOptional("Up", o.Up, n, f))
}

// Flops implements Op.
func (o Gated) Flops() float64 { return 10 * float64(o.Out.Len()) }

// GatedBackward is the gradient of both inputs.
type GatedBackward struct {
	DGate *Tensor // [N, F]
	DUp   *Tensor // [N, F], where there is an Up
	DOut  *Tensor // [N, F]
	Gate  *Tensor // [N, F]
	Up    *Tensor // [N, F], as in the forward pass
	Act   Activation
}

// Name implements Op.
func (GatedBackward) Name() string { return "gated.backward" }

// Operands implements Op.
func (o GatedBackward) Operands() []Operand {
	return optional(optional([]Operand{out("DGate", o.DGate), in("DOut", o.DOut), in("Gate", o.Gate)}, out("DUp", o.DUp)), in("Up", o.Up))
}

// Check implements Op.
func (o GatedBackward) Check() error {
	n, f := lead(o.DOut)
	if (o.Up == nil) != (o.DUp == nil) {
		return fmt.Errorf("only one of Up and DUp: %w", ErrShape)
	}
	return first(o.Act.check(), want("DOut", o.DOut, F32, n, f), want("Gate", o.Gate, F32, n, f), wantOptional("Up", o.Up, n, f),
		want("DGate", o.DGate, F32, n, f), wantOptional("DUp", o.DUp, n, f))
}

// Flops implements Op.
func (o GatedBackward) Flops() float64 { return 20 * float64(o.DOut.Len()) }

func (a Activation) check() error {
	if a >= numActivations {
		return fmt.Errorf("%v: %w", a, ErrUnsupported)
	}
	return nil
}
