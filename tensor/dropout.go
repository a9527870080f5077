package tensor

import (
	"fmt"
	"math"
)

// Dropout (Srivastava et al. 2014) with a mask that follows from a seed, so that it
// needs no memory: the backward pass, and a forward pass that is done again, make the
// same mask again.
//
//	Out[i] = X[i]/(1−P) if r(i) ≥ P·2³², else 0      r(i): 32 bits from i and Seed
//	DX is the Dropout of DOut

// Dropout is Out, or with Add, Out += that.
type Dropout struct {
	Out, X *Tensor // same number of values
	P      float32 // 0 ≤ P < 1, the share that is dropped
	Seed   uint64
	Add    bool
}

// Name implements Op.
func (Dropout) Name() string { return "dropout" }

// Operands implements Op.
func (o Dropout) Operands() []Operand {
	return []Operand{outOrAdd("Out", o.Out, o.Add), in("X", o.X)}
}

// Check implements Op.
func (o Dropout) Check() error {
	if !(o.P >= 0 && o.P < 1) {
		return fmt.Errorf("field P is %v, want 0 ≤ P < 1: %w", o.P, ErrShape)
	}
	n, d := lead(o.X)
	return first(want("X", o.X, F32, n, d), want("Out", o.Out, F32, n, d))
}

// Flops implements Op.
func (o Dropout) Flops() float64 { return 12 * float64(o.X.Len()) }

// Threshold returns P·2³²: what r(i) must reach.
func (o Dropout) Threshold() uint32 { return uint32(min(float64(o.P)*(1<<32), math.MaxUint32)) }

// random is r(i): two rounds of a mixing function with good avalanche (constants of
// Wellons' "Prospecting for hash functions", lowbias32).
func (o Dropout) random(i uint32) uint32 {
	return mix(mix(i^uint32(o.Seed)) ^ uint32(o.Seed>>32))
}

func mix(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x7feb352d
	x ^= x >> 15
	x *= 0x846ca68b
	return x ^ x>>16
}
