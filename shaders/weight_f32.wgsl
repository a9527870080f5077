// A matrix of f32 values, for kernels that take weights of any float type.
//
// Formula:  weight4(i) = w[4i … 4i+3], weight1(i) = w[i]
// Shapes:   w: any number of values
// Bindings: 1 w
// Grid:     none; a kernel is put behind this file
// Consts:   none

@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;

fn weight4(i: u32) -> vec4<f32> {
    return w[i];
}

fn weight1(i: u32) -> f32 {
    return w[i / 4u][i % 4u];
}
