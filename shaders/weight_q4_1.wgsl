// A matrix of type q4_1, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·n + m
//           weight_pair(i) = weight4(i), weight4(i+4), of the same block
//           weight_block(b) = w[32b … 32b+31] as scale·q + shift
// Shapes:   w: any number of blocks of 32 values, 5 words: d, m, nibbles[16]
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   none

fn weight4(i: u32) -> vec4<f32> {
    let at = i / 8u * 5u;
    let q = i % 8u; // quads 0 to 3 are the low nibbles, 4 to 7 the high ones
    let dm = unpack2x16float(w[at]);
    return dm.x * vec4<f32>(nibbles_of(w[at + 1u + q % 4u], q / 4u * 4u)) + dm.y;
}

fn weight_pair(i: u32) -> mat2x4<f32> {
    let at = i / 8u * 5u;
    let dm = unpack2x16float(w[at]);
    let word = w[at + 1u + i % 4u];
    return mat2x4<f32>(dm.x * vec4<f32>(nibbles_of(word, 0u)) + dm.y, dm.x * vec4<f32>(nibbles_of(word, 4u)) + dm.y);
}

// weight_block is block b: scale·q + shift.
fn weight_block(b: u32) -> Block {
    let at = b * 5u;
    let dm = unpack2x16float(w[at]);
    return nibble_block(dm.x, dm.y, w[at + 1u], w[at + 2u], w[at + 3u], w[at + 4u]);
}
