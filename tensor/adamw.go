package tensor

import "fmt"

// The optimizer: Adam with decoupled weight decay (Loshchilov and Hutter 2019,
// arXiv 1711.05101, algorithm 2) as torch.optim.AdamW computes it, and clipping by
// the global norm as torch.nn.utils.clip_grad_norm_ does. For step t = 1, 2, …
// with g = Clip[1]·Grad:
//
//	Param −= LR·WeightDecay·Param
//	M = β1·M + (1−β1)·g
//	V = β2·V + (1−β2)·g²
//	Param −= LR/(1−β1ᵗ) · M / (√V/√(1−β2ᵗ) + Eps)

// AdamW updates parameters in place.
type AdamW struct {
	Param, M, V *Tensor // same number of values
	Grad        *Tensor
	Clip        *Tensor // [2], from ClipNorm
	LR          float32
	Beta1       float32
	Beta2       float32
	Eps         float32
	WeightDecay float32
	Step        int // from 1
}

// Name implements Op.
func (AdamW) Name() string { return "adamw" }

// Operands implements Op.
func (o AdamW) Operands() []Operand {
	return []Operand{update("Param", o.Param), update("M", o.M), update("V", o.V), in("Grad", o.Grad), in("Clip", o.Clip)}
}

// Check implements Op.
func (o AdamW) Check() error {
	n, d := lead(o.Param)
	if o.Step < 1 || o.Beta1 < 0 || o.Beta1 >= 1 || o.Beta2 < 0 || o.Beta2 >= 1 {
		return fmt.Errorf("step %d, betas %v, %v: %w", o.Step, o.Beta1, o.Beta2, ErrShape)
	}
	return first(want("Param", o.Param, F32, n, d), want("M", o.M, F32, n, d), want("V", o.V, F32, n, d),
		want("Grad", o.Grad, F32, n, d), want("Clip", o.Clip, F32, 2))
}

// Flops implements Op.
func (o AdamW) Flops() float64 { return 15 * float64(o.Param.Len()) }

// SumSquares writes the sums of squares of K equal, consecutive parts of X (the
// last may be shorter, or empty), so that the order of summation is fixed.
type SumSquares struct {
	Out *Tensor // [K]
	X   *Tensor
}

// Name implements Op.
func (SumSquares) Name() string { return "norm" }

// Operands implements Op.
func (o SumSquares) Operands() []Operand { return []Operand{out("Out", o.Out), in("X", o.X)} }

// Check implements Op.
func (o SumSquares) Check() error {
	n, d := lead(o.X)
	k, _ := lead(o.Out)
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, k))
}

// Flops implements Op.
func (o SumSquares) Flops() float64 { return 2 * float64(o.X.Len()) }

// ClipNorm turns sums of squares into the global norm and the factor that clips
// it: Clip = {‖g‖, min(1, Max/(‖g‖+1e-6))}, and {‖g‖, 1} if Max is 0.
type ClipNorm struct {
	Clip *Tensor // [2]
	Sums *Tensor // [K], of SumSquares
	Max  float32 // 0: don't clip
}

// Name implements Op.
func (ClipNorm) Name() string { return "clip" }

// Operands implements Op.
func (o ClipNorm) Operands() []Operand { return []Operand{out("Clip", o.Clip), in("Sums", o.Sums)} }

// Check implements Op.
func (o ClipNorm) Check() error {
	k, _ := lead(o.Sums)
	if o.Max < 0 {
		return fmt.Errorf("field Max is %v: %w", o.Max, ErrShape)
	}
	return first(want("Sums", o.Sums, F32, k), want("Clip", o.Clip, F32, 2))
}

// Flops implements Op.
func (o ClipNorm) Flops() float64 { return float64(o.Sums.Len()) }
