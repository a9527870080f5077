// Package emit has what the assembly generators of this module share.
package emit

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	Lanes = 8         // float32 values of a YMM register
	Width = Lanes * 4 // its size in bytes
)

// Open opens an assembly function that does not let its pointers escape.
func Open(name, signature string, doc ...string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc...)
}

// Argument loads the parameter name into a new general register.
func Argument(name string) GPVirtual {
	return Load(Param(name), GP64()).(GPVirtual)
}

// TailMasks declares 8 words of ones followed by 8 of zeros: loading at 4*(8-n) gives the mask of the first n lanes.
func TailMasks() Mem {
	table := GLOBL("tailMasks", RODATA|NOPTR)
	for i := range 2 * Lanes {
		word := uint32(0)
		if i < Lanes {
			word = math.MaxUint32
		}
		DATA(4*i, U32(word))
	}
	return table
}

// TailMask loads the mask of the first n lanes, 0 < n < 8; n is overwritten.
func TailMask(table Mem, n GPVirtual) VecVirtual {
	address, mask := GP64(), YMM()
	NEGQ(n)
	LEAQ(table, address)
	VMOVUPS(Mem{Base: address, Index: n, Scale: 4, Disp: Width}, mask)
	return mask
}
