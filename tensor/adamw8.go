package tensor

import (
	"fmt"
	"math"
	"slices"
)

// AdamW with moments of 8 bits (Dettmers et al. 2022, arXiv 2110.02861), as
// bitsandbytes' AdamW8bit computes it on a CPU: in blocks of 256 values, a moment is
// stored as one number, the largest magnitude of the block, and for each value the
// index of that one of 256 fractions of it that is nearest ([DynamicMap]). A step
// decodes the moments, is the step of [AdamW], and encodes them again: the update uses
// them before they are rounded. Of two fractions that are as near, the smaller is taken.

// MomentBlock is the number of values that share a scale in AdamW8.
const MomentBlock = 256

// AdamW8 updates parameters in place. Param begins a block; the last block may be
// shorter, then its other codes stay as they are.
type AdamW8 struct {
	Param       *Tensor // n values
	M, V        *Tensor // I32, [blocks·64]: four codes each, the first in the lowest byte
	MMax, VMax  *Tensor // [blocks]: each block's largest magnitude
	Grad        *Tensor // n values
	Clip        *Tensor // [2], from ClipNorm
	Maps        *Tensor // [512]: DynamicMap(true), then DynamicMap(false)
	LR          float32
	Beta1       float32
	Beta2       float32
	Eps         float32
	WeightDecay float32
	Step        int // from 1
}

// Name implements Op.
func (AdamW8) Name() string { return "adamw8" }

// Operands implements Op.
func (o AdamW8) Operands() []Operand {
	return []Operand{
		update("Param", o.Param), update("M", o.M), update("V", o.V), update("MMax", o.MMax), update("VMax", o.VMax),
		in("Grad", o.Grad), in("Clip", o.Clip), in("Maps", o.Maps),
	}
}

// Check implements Op.
func (o AdamW8) Check() error {
	n, d := lead(o.Param)
	blocks := MomentBlocks(n * d)
	if o.Step < 1 {
		return fmt.Errorf("step %d: %w", o.Step, ErrShape)
	}
	return first(wantBeta("Beta1", o.Beta1), wantBeta("Beta2", o.Beta2), want("Param", o.Param, F32, n, d),
		want("M", o.M, I32, blocks*MomentBlock/4), want("V", o.V, I32, blocks*MomentBlock/4), want("MMax", o.MMax, F32, blocks),
		want("VMax", o.VMax, F32, blocks), want("Grad", o.Grad, F32, n, d), want("Clip", o.Clip, F32, 2), want("Maps", o.Maps, F32, 512))
}

// Flops implements Op.
func (o AdamW8) Flops() float64 { return 60 * float64(o.Param.Len()) }

// MomentBlocks is the number of blocks of n values.
func MomentBlocks(n int) int { return (n + MomentBlock - 1) / MomentBlock }

// DynamicMap returns the fractions that codes of 8 bits stand for, ascending: for each
// exponent from 10⁻⁶ to 1 the middles of 2ⁱ equal parts of [0.1, 1], twice as many at
// each exponent, and 0 and 1 (bitsandbytes' create_dynamic_map). If signed, half as many
// with both signs.
func DynamicMap(signed bool) []float32 {
	fractions := []float32{0, 1}
	for i := range 7 {
		parts := 1 << i
		if !signed {
			parts *= 2
		}
		for j := range parts {
			v := float32(math.Pow(10, float64(i-6)) * float64(0.1+0.9*(float32(j)+0.5)/float32(parts)))
			fractions = append(fractions, v)
			if signed {
				fractions = append(fractions, -v)
			}
		}
	}
	slices.Sort(fractions)
	return fractions
}
