// What kernels need to know of an Elem that is one value, for rows that four does not divide.
//
// Formula:  total, largest, smallest of an Elem's values; numbers, their positions in a row
// Shapes:   Elem: 1 value; Quad: 4 Elems, e * Quad(a, b, c, d) being their dot products with e
// Bindings: none
// Grid:     none
// Consts:   Elem, the alias of f32

alias Quad = vec4<f32>;

const LANES: u32 = 1u; // values in an Elem

fn total(v: Elem) -> f32 { return v; }
fn largest(v: Elem) -> f32 { return v; }
fn smallest(v: Elem) -> f32 { return v; }
fn numbers(e: u32) -> Elem { return f32(e); }

