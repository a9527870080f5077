// The product of two matrices: what its kernels have in common.
//
// Formula:  nt  c[m,n] = scale · Σ_k a[m,k]·w[n,k]      out = x·wᵀ
//           nn  c[m,n] = scale · Σ_k a[m,k]·w[k,n]      dx = dout·w
//           tn  c[m,n] = scale · Σ_k a[k,m]·w[k,n]      dw = doutᵀ·x
//           or with accumulate, c += …
// Shapes:   c [m, n]; a and w as the formula says; all may be columns of wider rows
// Bindings: 0 a, 1 w (of weight_*.wgsl, before this file), 2 c4 or c1, 3 params
// Grid:     none; the entry points come from the generators in gpu/matmul_*.go, which
//           unroll their tiles. A workgroup's z counts parts of k, each with a c of its own
// Consts:   VEC_A, VEC_W, whether rows of a and w begin at multiples of four values

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,   // values from one row of a to the next
    a_first: u32, // the value in its row at which a begins
    w_row: u32,
    c_row: u32,
    c_first: u32,
    k_part: u32, // the share of k of one z
    c_part: u32, // values from the c of one z to the next
    scale: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c1: array<f32>;
@group(0) @binding(3) var<uniform> p: Params;

// a_base is the place of a row, for a_quad. It counts quads if VEC_A, else values.
fn a_base(row: u32) -> u32 {
    let i = row * p.a_row + p.a_first;
    if (VEC_A) { return i / 4u; }
    return i;
}

fn w_base(row: u32) -> u32 {
    let i = row * p.w_row;
    if (VEC_W) { return i / 4u; }
    return i;
}

fn value(i: u32) -> f32 {
    return a[i / 4u][i % 4u];
}

// a_quad is columns 4q to 4q+3 of a row. Beyond its end come other values of a.
fn a_quad(base: u32, q: u32) -> vec4<f32> {
    if (VEC_A) { return a[base + q]; }
    let i = base + 4u * q;
    return vec4<f32>(value(i), value(i + 1u), value(i + 2u), value(i + 3u));
}

fn w_quad(base: u32, q: u32) -> vec4<f32> {
    if (VEC_W) { return weight4(base + q); }
    let i = base + 4u * q;
    return vec4<f32>(weight1(i), weight1(i + 1u), weight1(i + 2u), weight1(i + 3u));
}

// before keeps those of the values k to k+3 whose place is before end; the others
// become zero.
fn before(v: vec4<f32>, k: u32, end: u32) -> vec4<f32> {
    return select(vec4<f32>(), v, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(end));
}

// store4 writes columns col to col+3 of a row of c, where all rows begin at multiples
// of four values.
fn store4(row: u32, col: u32, z: u32, v: vec4<f32>) {
    if (row >= p.m || col >= p.n) { return; }
    let i = (z * p.c_part + row * p.c_row + p.c_first + col) / 4u;
    var sum = p.scale * v;
    if (p.accumulate != 0u) { sum += c4[i]; }
    c4[i] = sum;
}

// store1 is store4 for rows that begin anywhere.
fn store1(row: u32, col: u32, z: u32, v: vec4<f32>) {
    if (row >= p.m) { return; }
    let i = z * p.c_part + row * p.c_row + p.c_first + col;
    put(i, v.x, col < p.n);
    put(i + 1u, v.y, col + 1u < p.n);
    put(i + 2u, v.z, col + 2u < p.n);
    put(i + 3u, v.w, col + 3u < p.n);
}

fn put(i: u32, v: f32, inside: bool) {
    if (!inside) { return; }
    var sum = p.scale * v;
    if (p.accumulate != 0u) { sum += c1[i]; }
    c1[i] = sum;
}
