// A matrix of bfloat16 values, for kernels that take weights of any float type.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]
// Shapes:   w: any number of values, two in a u32, the first in the lower half
// Bindings: 1 w
// Grid:     none; a kernel is put behind this file
// Consts:   none

@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;

// A bfloat16 is the upper half of an f32.
fn weight4(i: u32) -> vec4<f32> {
    let packed = w[i];
    let even = packed << vec2<u32>(16u);
    let odd = packed & vec2<u32>(0xffff0000u);
    return bitcast<vec4<f32>>(vec4<u32>(even.x, odd.x, even.y, odd.y));
}

fn weight1(i: u32) -> f32 {
    let packed = w[i / 4u][(i / 2u) % 2u];
    return bitcast<f32>((packed >> (16u * (i % 2u))) << 16u);
}
