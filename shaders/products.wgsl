// The products of attention's tiles, each lane loading what it needs.
//
// Formula:  products(which)[a][d] = down_value(which, d)·across_value(which, a), over the COLS
//           Elems of a head
// Shapes:   4 items downwards, 4 across, given by the places of their first Elems
// Bindings: those of down_value and across_value, which the kernel declares
// Grid:     that of the kernel
// Consts:   COLS, HEIGHT and others of heads.wgsl, which stands before; Elem, of elem1 or elem4

fn products(which: u32, lane: u32, down: vec4<u32>, across: vec4<u32>) -> mat4x4<f32> {
    var s = mat4x4<f32>();
    for (var c = 0u; c < COLS; c++) {
        let d = Quad(down_value(which, down.x + c), down_value(which, down.y + c), down_value(which, down.z + c), down_value(which, down.w + c));
        s[0] += across_value(which, across.x + c) * d;
        s[1] += across_value(which, across.y + c) * d;
        s[2] += across_value(which, across.z + c) * d;
        s[3] += across_value(which, across.w + c) * d;
    }
    return s;
}
