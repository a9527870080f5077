// A matrix of type q5_0, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·(n−16), n with its fifth bit
// Shapes:   w: any number of blocks of 32 values, 11 halves: d, bits u32, nibbles[16]
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   none

fn weight4(i: u32) -> vec4<f32> {
    let h = i / 8u * 11u;
    let q = i % 8u; // quads 0 to 3 are the low nibbles, 4 to 7 the high ones
    let n = nibbles_of(word_at(h + 3u + 2u * (q % 4u)), q / 4u * 4u) | fifth_of(word_at(h + 1u), 4u * q);
    return half_at(h) * (vec4<f32>(n) - 16.0);
}
