package tensor

import "fmt"

// Lion: the sign of a momentum, with decoupled weight decay (Chen et al. 2023, arXiv
// 2302.06675, algorithm 2). With g = Clip[1]·Grad:
//
//	Param −= LR·WeightDecay·Param
//	Param −= LR · sign(β1·M + (1−β1)·g)
//	M = β2·M + (1−β2)·g

// Lion updates parameters in place.
type Lion struct {
	Param, M    *Tensor // same number of values
	Grad        *Tensor
	Clip        *Tensor // [2], from ClipNorm
	LR          float32
	Beta1       float32
	Beta2       float32
	WeightDecay float32
}

// Name implements Op.
func (Lion) Name() string { return "lion" }

// Operands implements Op.
func (o Lion) Operands() []Operand {
	return []Operand{update("Param", o.Param), update("M", o.M), in("Grad", o.Grad), in("Clip", o.Clip)}
}

// Check implements Op.
func (o Lion) Check() error {
	n, d := lead(o.Param)
	return first(wantBeta("Beta1", o.Beta1), wantBeta("Beta2", o.Beta2),
		want("Param", o.Param, F32, n, d), want("M", o.M, F32, n, d), want("Grad", o.Grad, F32, n, d), want("Clip", o.Clip, F32, 2))
}

// Flops implements Op.
func (o Lion) Flops() float64 { return 10 * float64(o.Param.Len()) }

// wantBeta checks the share of an old average that stays.
func wantBeta(field string, beta float32) error {
	if !(beta >= 0 && beta < 1) {
		return fmt.Errorf("field %s is %v, want 0 to below 1: %w", field, beta, ErrShape)
	}
	return nil
}
