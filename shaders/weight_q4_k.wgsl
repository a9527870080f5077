// A matrix of type q4_k, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·sc·n − dmin·mn
// Shapes:   w: any number of blocks of 256 values, 36 words: d, dmin, scales[12], nibbles[128]; 8 sub-blocks of 32
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   none

fn weight4(i: u32) -> vec4<f32> {
    let at = i / 64u * 36u;
    let j = i % 64u / 8u; // sub-blocks 2k and 2k+1 share their bytes
    let n = nibbles_of(w[at + 4u + j / 2u * 8u + i % 8u], j % 2u * 4u);
    let f = unpack2x16float(w[at]) * factors_at(2u * at + 2u, j);
    return f.x * vec4<f32>(n) - f.y;
}
