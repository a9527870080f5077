// The second pass of a product whose inner dimension was split: adds up the parts.
//
// Formula:  c[m,n] = scale · Σ_z part[z,m,n], or with accumulate, c += …
// Shapes:   part [parts, m, n]; c [m, n], columns of wider rows
// Bindings: 0 part, 1 c, 2 params
// Grid:     one invocation per value of c, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

struct Params {
    m: u32,
    n: u32,
    parts: u32,
    c_row: u32,   // values from one row of c to the next
    c_first: u32, // the value in its row at which c begins
    scale: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> part: array<f32>;
@group(0) @binding(1) var<storage, read_write> c: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i >= p.m * p.n) { return; }
    var sum = 0.0;
    for (var z = 0u; z < p.parts; z++) {
        sum += part[z * p.m * p.n + i];
    }
    let at = (i / p.n) * p.c_row + p.c_first + i % p.n;
    sum *= p.scale;
    if (p.accumulate != 0u) { sum += c[at]; }
    c[at] = sum;
}
