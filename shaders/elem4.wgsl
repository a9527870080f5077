// What kernels need to know of an Elem that is four values: a load of four costs about as much as one.
//
// Formula:  total, largest, smallest of an Elem's values; numbers, their positions in a row
// Shapes:   Elem: 4 values; Quad: 4 Elems, e * Quad(a, b, c, d) being their dot products with e
// Bindings: none
// Grid:     none
// Consts:   Elem, the alias of vec4<f32>

alias Quad = mat4x4<f32>;

const LANES: u32 = 4u; // values in an Elem

fn total(v: Elem) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn largest(v: Elem) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }
fn smallest(v: Elem) -> f32 { return min(min(v.x, v.y), min(v.z, v.w)); }
fn numbers(e: u32) -> Elem { return f32(4u * e) + vec4<f32>(0.0, 1.0, 2.0, 3.0); }

