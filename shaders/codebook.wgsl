// Reads matrices of indices into a codebook of sixteen numbers.
// weight_nf4.wgsl and weight_fp4.wgsl give the codebook as a function code.
//
// Formula:  weight4(i) = w[4i … 4i+3]; code[index]·absmax
// Shapes:   w: any number of blocks of 64 values, 9 words: absmax, indices[32], the first of
//           a pair in the high nibble
// Bindings: 1 w (of blocks.wgsl, before this file)
// Grid:     none; a kernel is put behind this file
// Consts:   none

fn weight4(i: u32) -> vec4<f32> {
    let at = i / 16u * 9u;
    let q = i % 16u;
    let pairs = w[at + 1u + q / 2u] >> (16u * (q % 2u));
    return code((vec4<u32>(pairs) >> vec4<u32>(4u, 0u, 12u, 8u)) & vec4<u32>(15u)) * bitcast<f32>(w[at]);
}

// pick chooses one of four numbers by two bits.
fn pick(a: f32, b: f32, c: f32, d: f32, b0: vec4<bool>, b1: vec4<bool>) -> vec4<f32> {
    return select(select(vec4<f32>(a), vec4<f32>(b), b0), select(vec4<f32>(c), vec4<f32>(d), b0), b1);
}
