// Package gemm multiplies single-precision matrices on the CPU: C = alpha*op(A)*op(B) + beta*C.
//
// Three properties matter to its caller, the CPU backend. A weight matrix may stay in its stored format: a
// [RowSource] unpacks it piece by piece while it is packed, so it never exists as float32 as a whole. The
// bits of the result depend on the shapes alone, neither on the number of workers nor on whether the weights
// come from memory or from a source. And in the steady state nothing is allocated.
//
// Two methods share the work, chosen by shape. Where one dimension of C is small and the large operand's
// rows run along k (decoding, low-rank adapters), its rows are read once, straight from where they lie, and
// multiplied as inner products (skinny.go). Everything else packs blocks of both operands into panels and
// runs a micro-kernel of 6x16 or 12x32 outer products over them (packed.go), the scheme of Goto and van de
// Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008. The left operand is packed
// once, for all workers; a panel of the right one is packed by the worker that goes over all of the left with it.
//
// The kernels come in assembly for amd64 processors with AVX-512F or AVX2 and FMA, in assembly for arm64 (NEON, so far run
// on an emulator alone), and in plain Go for all others (or with the build tag purego); their results differ by rounding. In
// the environment, GODEBUG=cpu.avx512f=off and GODEBUG=cpu.avx2=off switch the faster ones off.
package gemm

//go:generate go run -C ../_asm ./gemm -out ../gemm/asm_amd64.s -stubs ../gemm/asm_amd64.go -pkg gemm
//go:generate go run -C ../_asm ./neon -out ../gemm/asm_arm64.s -stubs ../gemm/asm_arm64.go
