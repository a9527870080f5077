// A matrix of IEEE 754 binary16 values, for kernels that take weights of any float type.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]
// Shapes:   w: any number of values, two in a u32, the first in the lower half
// Bindings: 1 w
// Grid:     none; a kernel is put behind this file
// Consts:   none

@group(0) @binding(1) var<storage, read> w: array<vec2<u32>>;

fn weight4(i: u32) -> vec4<f32> {
    let packed = w[i];
    return vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
}

fn weight1(i: u32) -> f32 {
    let packed = w[i / 4u][(i / 2u) % 2u];
    return unpack2x16float(packed >> (16u * (i % 2u))).x;
}
