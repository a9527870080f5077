// Reads the blocks of quantized matrices, for the files weight_*.wgsl of such types.
// Blocks lie as they are stored, see package tensor, one after the
// other; some types' sizes are no multiple of four bytes, so places are counted in
// 16-bit halves.
//
// Formula:  weight1(i) = w[i], by the weight4 of those files
// Shapes:   w: the matrix' bytes
// Bindings: 1 w
// Grid:     none; a kernel is put behind this file
// Consts:   none

@group(0) @binding(1) var<storage, read> w: array<u32>;

// word_at is the four bytes that begin at a half.
fn word_at(h: u32) -> u32 {
    let low = w[h / 2u];
    if (h % 2u == 0u) { return low; }
    return (low >> 16u) | (w[h / 2u + 1u] << 16u);
}

// half_at is a binary16 number.
fn half_at(h: u32) -> f32 {
    return unpack2x16float(w[h / 2u] >> (16u * (h % 2u))).x;
}

// byte_at is byte i behind a half.
fn byte_at(h: u32, i: u32) -> u32 {
    let at = 2u * h + i;
    return (w[at / 4u] >> (8u * (at % 4u))) & 255u;
}

const BYTES = vec4<u32>(0u, 8u, 16u, 24u);

// nibbles_of are the low or, with shift 4, the high halves of a word's bytes.
fn nibbles_of(word: u32, shift: u32) -> vec4<u32> {
    return (vec4<u32>(word) >> (BYTES + shift)) & vec4<u32>(15u);
}

// fifth_of turns bits i to i+3 of a word into the fifth bits of four numbers.
fn fifth_of(bits: u32, i: u32) -> vec4<u32> {
    return ((vec4<u32>(bits >> i) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) << vec4<u32>(4u);
}

// signed_of are a word's bytes as signed numbers.
fn signed_of(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

// factors_at are scale and minimum of sub-block j of a k-quant, of which 12 bytes from a
// half on hold eight: 6 bits each, the upper two of the last four in the first bytes.
fn factors_at(h: u32, j: u32) -> vec2<f32> {
    if (j < 4u) {
        return vec2<f32>(vec2<u32>(byte_at(h, j), byte_at(h, j + 4u)) & vec2<u32>(63u));
    }
    let both = byte_at(h, j + 4u);
    let upper = vec2<u32>(byte_at(h, j - 4u), byte_at(h, j)) >> vec2<u32>(6u);
    return vec2<f32>(vec2<u32>(both & 15u, both >> 4u) | (upper << vec2<u32>(4u)));
}

fn weight1(i: u32) -> f32 {
    return weight4(i / 4u)[i % 4u];
}

// A Block is 32 values as scale·q + shift.
struct Block {
    scale: f32,
    shift: f32,
    q0: vec4<f32>,
    q1: vec4<f32>,
    q2: vec4<f32>,
    q3: vec4<f32>,
    q4: vec4<f32>,
    q5: vec4<f32>,
    q6: vec4<f32>,
    q7: vec4<f32>,
}

// nibble_block has the low halves of the bytes of four words, then the high ones.
fn nibble_block(scale: f32, shift: f32, n0: u32, n1: u32, n2: u32, n3: u32) -> Block {
    return Block(scale, shift,
        vec4<f32>(nibbles_of(n0, 0u)), vec4<f32>(nibbles_of(n1, 0u)), vec4<f32>(nibbles_of(n2, 0u)), vec4<f32>(nibbles_of(n3, 0u)),
        vec4<f32>(nibbles_of(n0, 4u)), vec4<f32>(nibbles_of(n1, 4u)), vec4<f32>(nibbles_of(n2, 4u)), vec4<f32>(nibbles_of(n3, 4u)));
}
