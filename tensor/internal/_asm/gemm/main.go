// Command gemm generates the AVX2/FMA and AVX-512 kernels of package gemm.
package main

import (
	"github.com/gpupeft/gpupeft/tensor/internal/_asm/emit"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

// zeroed returns n cleared registers.
func zeroed(n int) []VecVirtual {
	registers := make([]VecVirtual, n)
	for i := range registers {
		registers[i] = YMM()
		VXORPS(registers[i], registers[i], registers[i])
	}
	return registers
}

func main() {
	ConstraintExpr("!purego")
	for height := 1; height <= maxHeight; height++ {
		micro(height)
	}
	for height := 1; height <= maxHeight512; height++ {
		micro512(height, 1)
		micro512(height, 2)
	}
	masks := emit.TailMasks()
	for _, f := range formats {
		for small := 1; small <= maxSmall; small++ {
			dots(f, small, masks)
			dots512(f, small)
		}
	}
	allDotsQuant()
	transpose()
	copyPanels("copy32", 4, "copy32 is copy16 for 128 bytes of every row.")
	copyPanels("copy16", 2,
		"copy16 copies values [i*step, i*step+64) bytes of n rows, n at most 8, one behind the other to",
		"dst + i*panel bytes, for i below panels. n and panels are at least 1.")
	copyPanels("copy8", 1, "copy8 is copy16 for 32 bytes of every row.")
	Generate()
}
