// Command gemm generates the AVX2/FMA kernels of package gemm.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	lanes = 8         // float32 values of a YMM register
	width = lanes * 4 // its size in bytes
)

// function opens an assembly function that does not let its pointers escape.
func function(name, signature string, doc ...string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc...)
}

// load loads the parameter name into a new general register.
func load(name string) GPVirtual {
	return Load(Param(name), GP64()).(GPVirtual)
}

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
	masks := tailMasks()
	for _, f := range formats {
		for small := 1; small <= maxSmall; small++ {
			dots(f, small, masks)
		}
	}
	transpose()
	copyPanels("copy16", 2,
		"copy16 copies values [i*step, i*step+64) bytes of n rows, n at most 8, one behind the other to",
		"dst + i*panel bytes, for i below panels. n and panels are at least 1.")
	copyPanels("copy8", 1, "copy8 is copy16 for 32 bytes of every row.")
	Generate()
}
