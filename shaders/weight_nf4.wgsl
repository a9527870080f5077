// A matrix of type nf4, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; code[i]·absmax
// Shapes:   w: any number of blocks of 64 values, 9 words: absmax, indices[32], the first of a pair in the high nibble
// Bindings: 1 w (of blocks.wgsl, before this file with codebook.wgsl)
// Grid:     none; a kernel is put behind this file
// Consts:   none

// code looks four indices up: a tree of choices, which compilers keep in registers.
fn code(i: vec4<u32>) -> vec4<f32> {
    let b0 = (i & vec4<u32>(1u)) != vec4<u32>(0u);
    let b1 = (i & vec4<u32>(2u)) != vec4<u32>(0u);
    let b2 = (i & vec4<u32>(4u)) != vec4<u32>(0u);
    let b3 = (i & vec4<u32>(8u)) != vec4<u32>(0u);
    let v0 = pick(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, b0, b1);
    let v1 = pick(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0, b0, b1);
    let v2 = pick(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, b0, b1);
    let v3 = pick(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0, b0, b1);
    return select(select(v0, v1, b2), select(v2, v3, b2), b3);
}
