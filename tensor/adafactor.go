package tensor

import (
	"fmt"
	"math"
)

// Adafactor: second moments of a matrix from those of its rows and columns (Shazeer and
// Stern 2018, arXiv 1804.04235, algorithms 4 and 5), as transformers' Adafactor computes
// it with relative_step, scale_parameter and warmup_init off and without a first moment.
// For step t = 1, 2, … with g = Clip[1]·Grad and β = 1 − t^−0.8:
//
//	Row[i] = β·Row[i] + (1−β)·(mean_j g²[i,j] + 1e-30)
//	Col[j] = β·Col[j] + (1−β)·(mean_i g²[i,j] + 1e-30)
//	u[i,j] = g[i,j] / √(Row[i]/mean(Row) · Col[j])
//	Param −= LR·WeightDecay·Param
//	Param −= LR·u / max(1, rms(u))
//
// A vector is a matrix of one row: then Col is its second moment, as it is without
// factors. Several matrices of one tensor have rows and columns of their own, but
// rms(u) is that of the tensor.

// Adafactor updates one parameter in place.
type Adafactor struct {
	Param       *Tensor // [matrices·rows, columns]
	Row         *Tensor // [matrices·rows]
	Col         *Tensor // [matrices·columns]
	Grad        *Tensor // like Param
	Clip        *Tensor // [2], from ClipNorm
	Matrices    int     // 0 means 1
	LR          float32
	WeightDecay float32
	Step        int // from 1
}

const (
	adafactorDecay = -0.8  // decay_rate
	adafactorEps   = 1e-30 // the first eps
)

// Name implements Op.
func (Adafactor) Name() string { return "adafactor" }

// Operands implements Op.
func (o Adafactor) Operands() []Operand {
	return []Operand{update("Param", o.Param), update("Row", o.Row), update("Col", o.Col), in("Grad", o.Grad), in("Clip", o.Clip)}
}

// Check implements Op.
func (o Adafactor) Check() error {
	n, d := lead(o.Param)
	if o.Step < 1 || o.Matrices < 0 || n%max(1, o.Matrices) != 0 {
		return fmt.Errorf("step %d, %d rows of %d matrices: %w", o.Step, n, o.Matrices, ErrShape)
	}
	return first(want("Param", o.Param, F32, n, d), want("Row", o.Row, F32, n), want("Col", o.Col, F32, max(1, o.Matrices)*d),
		want("Grad", o.Grad, F32, n, d), want("Clip", o.Clip, F32, 2))
}

// Flops implements Op.
func (o Adafactor) Flops() float64 { return 20 * float64(o.Param.Len()) }

// Fresh is the share of the new squares in a step's averages: 1−β.
func (o Adafactor) Fresh() float64 { return math.Pow(float64(o.Step), adafactorDecay) }

// Eps is what is added to squares.
func (Adafactor) Eps() float32 { return adafactorEps }
