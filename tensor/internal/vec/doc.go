// Package vec has the vector primitives of the CPU backend's row operations and attention: inner products,
// scaled sums and exponentials over float32 slices.
//
// On amd64 with AVX2 and FMA they run in assembly, elsewhere in plain Go. The order of every sum depends on
// the length alone, so a call gives the same bits again on the same machine; the two implementations differ
// by rounding. Where a function takes two slices it panics, as indexing does, unless the second is at least
// as long as the first; the rest of the second is ignored.
package vec

//go:generate go run -C ../_asm ./vec -out ../vec/vec_amd64.s -stubs ../vec/vec_amd64.go -pkg vec
