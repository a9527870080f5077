// Package quant holds the formats of quantized weights: how a block of a row's values is stored, bit by bit.
//
// Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 are ggml's legacy types, in blocks of 32; Q4_K, Q5_K and Q6_K its k-quants, in
// super-blocks of 256: both as GGUF files have them. NF4 and FP4 are bitsandbytes' types, in blocks of 64, each with
// its scale in front.
//
// All unpack to the very bits that gguf-py and bitsandbytes give, with AVX2 where the processor has it and without.
// The legacy types and those of bitsandbytes are also packed to the same bytes as there. The k-quants have an
// encoder of our own.
package quant

//go:generate go run -C ../_asm ./quant -out ../quant/asm_amd64.s -stubs ../quant/asm_amd64.go -pkg quant
