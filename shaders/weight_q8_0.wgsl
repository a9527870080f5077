// A matrix of type q8_0, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·q
//           weight_pair(i) = weight4(i), weight4(i+4), of the same block
//           weight_block(b) = w[32b … 32b+31] as scale·q + shift
// Shapes:   w: any number of blocks of 32 values, 17 halves: d, q int8[32]
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   none

fn weight4(i: u32) -> vec4<f32> {
    let h = i / 8u * 17u;
    return half_at(h) * signed_of(word_at(h + 1u + 2u * (i % 8u)));
}

fn weight_pair(i: u32) -> mat2x4<f32> {
    let h = i / 8u * 17u;
    let d = half_at(h);
    let q = h + 1u + 2u * (i % 8u);
    return mat2x4<f32>(d * signed_of(word_at(q)), d * signed_of(word_at(q + 8u)));
}

// weight_block is block b: scale·q + shift.
fn weight_block(b: u32) -> Block {
    let h = b * 17u;
    let at = h / 2u;
    var v = array<u32, 9>(w[at], w[at + 1u], w[at + 2u], w[at + 3u], w[at + 4u], w[at + 5u], w[at + 6u], w[at + 7u], w[at + 8u]);
    let odd = h % 2u == 1u;
    let d = unpack2x16float(v[0]);
    return Block(select(d.x, d.y, odd), 0.0,
        signed_of(select((v[0] >> 16u) | (v[1] << 16u), v[1], odd)), signed_of(select((v[1] >> 16u) | (v[2] << 16u), v[2], odd)),
        signed_of(select((v[2] >> 16u) | (v[3] << 16u), v[3], odd)), signed_of(select((v[3] >> 16u) | (v[4] << 16u), v[4], odd)),
        signed_of(select((v[4] >> 16u) | (v[5] << 16u), v[5], odd)), signed_of(select((v[5] >> 16u) | (v[6] << 16u), v[6], odd)),
        signed_of(select((v[6] >> 16u) | (v[7] << 16u), v[7], odd)), signed_of(select((v[7] >> 16u) | (v[8] << 16u), v[8], odd)));
}
