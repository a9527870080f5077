// A matrix of type q8_0, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·q
// Shapes:   w: any number of blocks of 32 values, 17 halves: d, q int8[32]
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   none

fn weight4(i: u32) -> vec4<f32> {
    let h = i / 8u * 17u;
    return half_at(h) * signed_of(word_at(h + 1u + 2u * (i % 8u)));
}
