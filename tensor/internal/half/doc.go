// Package half converts between float32 and the two 16-bit floating-point formats of model weights:
// IEEE 754 binary16 ("f16") and bfloat16 ("bf16", the upper half of a float32).
//
// Widening is exact. Rounding goes to the nearest value, ties to even; values beyond the range become
// infinities; f16 subnormals are kept. NaN stays NaN with the upper bits of its payload: every conversion but
// bf16 to float32, which copies bits, makes it quiet, as the processors' own instructions do.
//
// The slice functions convert min(len(dst), len(src)) elements and use AVX2 and F16C where the processor
// has them; each gives bit for bit what the scalar function of its element gives.
package half

//go:generate go run -C ../_asm ./half -out ../half/convert_amd64.s -stubs ../half/convert_amd64.go -pkg half
