// A matrix of type q5_k, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·sc·n − dmin·mn, n with its fifth bit
// Shapes:   w: any number of blocks of 256 values, 44 words: d, dmin, scales[12], bits[32], nibbles[128]; 8 sub-blocks of 32
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   BYTES, of blocks.wgsl

fn weight4(i: u32) -> vec4<f32> {
    let at = i / 64u * 44u;
    let j = i % 64u / 8u; // sub-blocks 2k and 2k+1 share their bytes
    let low = nibbles_of(w[at + 12u + j / 2u * 8u + i % 8u], j % 2u * 4u);
    let fifth = (vec4<u32>(w[at + 4u + i % 8u]) >> (BYTES + j)) & vec4<u32>(1u);
    let f = unpack2x16float(w[at]) * factors_at(2u * at + 2u, j);
    return f.x * vec4<f32>(low | (fifth << vec4<u32>(4u))) - f.y;
}
