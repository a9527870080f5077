// Package quant holds the formats of quantized weights: how a block of a row's values is stored, bit by bit.
//
// A [Format] is a pair of functions between blocks of bytes and float32. There is a small file for each family:
// Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 in blocks of 32 (ggml's legacy types), Q4_K, Q5_K and Q6_K in super-blocks of
// 256 (ggml's k-quants), and NF4 and FP4 in blocks of 64 (bitsandbytes). The first eight are stored as in GGUF
// files and unpack to the very bits that gguf-py gives; the last two are bitsandbytes' bytes with the block's
// scale in front, and unpack to the bits that bitsandbytes gives.
package quant
