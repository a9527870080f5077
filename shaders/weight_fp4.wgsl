// A matrix of type fp4, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; code[i]·absmax
// Shapes:   w: any number of blocks of 64 values, 9 words: absmax, indices[32], the first of a pair in the high nibble
// Bindings: 1 w (of blocks.wgsl, before this file with codebook.wgsl)
// Grid:     none; a kernel is put behind this file
// Consts:   none

// code looks four indices up: a sign and one of eight magnitudes.
fn code(i: vec4<u32>) -> vec4<f32> {
    let b0 = (i & vec4<u32>(1u)) != vec4<u32>(0u);
    let b1 = (i & vec4<u32>(2u)) != vec4<u32>(0u);
    let b2 = (i & vec4<u32>(4u)) != vec4<u32>(0u);
    let v0 = pick(0.0, 0.005208333333, 0.66666667, 1.0, b0, b1);
    let v1 = pick(0.33333333, 0.5, 0.16666667, 0.25, b0, b1);
    let magnitude = select(v0, v1, b2);
    return select(magnitude, -magnitude, (i & vec4<u32>(8u)) != vec4<u32>(0u));
}
