// A matrix of type q4_0, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·(n−8)
//           weight_pair(i) = weight4(i), weight4(i+4), of the same block
//           weight_block(b) = w[32b … 32b+31] as scale·q + shift
// Shapes:   w: any number of blocks of 32 values, 9 halves: d, nibbles[16]
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   none

fn weight4(i: u32) -> vec4<f32> {
    let h = i / 8u * 9u;
    let q = i % 8u; // quads 0 to 3 are the low nibbles, 4 to 7 the high ones
    let n = nibbles_of(word_at(h + 1u + 2u * (q % 4u)), q / 4u * 4u);
    return half_at(h) * (vec4<f32>(n) - 8.0);
}

fn weight_pair(i: u32) -> mat2x4<f32> {
    let h = i / 8u * 9u;
    let word = word_at(h + 1u + 2u * (i % 4u));
    let d = half_at(h);
    return mat2x4<f32>(d * (vec4<f32>(nibbles_of(word, 0u)) - 8.0), d * (vec4<f32>(nibbles_of(word, 4u)) - 8.0));
}

// weight_block is block b: scale·q + shift.
fn weight_block(b: u32) -> Block {
    let first = b * 9u / 2u; // the word that d is in, its lower half where b is even
    let w0 = w[first];
    let w1 = w[first + 1u];
    let w2 = w[first + 2u];
    let w3 = w[first + 3u];
    let w4 = w[first + 4u];
    let odd = b % 2u == 1u;
    let d = unpack2x16float(w0);
    let scale = select(d.x, d.y, odd);
    let n0 = select((w0 >> 16u) | (w1 << 16u), w1, odd);
    let n1 = select((w1 >> 16u) | (w2 << 16u), w2, odd);
    let n2 = select((w2 >> 16u) | (w3 << 16u), w3, odd);
    let n3 = select((w3 >> 16u) | (w4 << 16u), w4, odd);
    return nibble_block(scale, -8.0 * scale, n0, n1, n2, n3);
}
