// A matrix of type q6_k, for kernels that take weights of any float type.
// See tensor.DType and package tensor/internal/quant for the block.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]; d·sc·(n−32)
// Shapes:   w: any number of blocks of 256 values, 105 halves: low nibbles[128], high bits[64], sc int8[16], d; 16 sub-blocks of 16
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   BYTES, of blocks.wgsl

fn weight4(i: u32) -> vec4<f32> {
    let h = i / 64u * 105u;
    let n = i % 64u / 32u; // which half of the block,
    let k = i % 32u / 8u;  // which quarter of that,
    let l = i % 8u;        // which quad of that
    let low = nibbles_of(word_at(h + 32u * n + 16u * (k % 2u) + 2u * l), k / 2u * 4u);
    let high = (vec4<u32>(word_at(h + 64u + 16u * n + 2u * l)) >> (BYTES + 2u * k)) & vec4<u32>(3u);
    let sc = f32(bitcast<i32>(byte_at(h + 96u, 8u * n + 2u * k + l / 4u) << 24u) >> 24u);
    return half_at(h + 104u) * sc * (vec4<f32>(low | (high << vec4<u32>(4u))) - 32.0);
}
