// A change of values where they are.
//
// Formula:  scale  x = factor·x;  shift  x = factor·x + shifts;  −∞ stays
// Shapes:   x, factor, shifts: n values
// Bindings: 0 x, 1 factor, 2 shifts, 3 params; only those that a formula names
// Grid:     one invocation per four values, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

struct Params {
    n: u32,
}

// HIDDEN and what is below count as −∞.
const HIDDEN: f32 = -3.0e38;

@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> factor: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> shifts: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

// put stores four values from i on where they aren't masked, but not those from n on,
// which are not ours.
fn put(i: u32, v: vec4<f32>) {
    let old = x[i / 4u];
    let kept = old <= vec4<f32>(HIDDEN);
    if (i < p.n && !kept.x) { x[i / 4u].x = v.x; }
    if (i + 1u < p.n && !kept.y) { x[i / 4u].y = v.y; }
    if (i + 2u < p.n && !kept.z) { x[i / 4u].z = v.z; }
    if (i + 3u < p.n && !kept.w) { x[i / 4u].w = v.w; }
}

@compute @workgroup_size(THREADS)
fn scale(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = 4u * ((group.y * groups.x + group.x) * THREADS + lane);
    put(i, factor[i / 4u] * x[i / 4u]);
}

@compute @workgroup_size(THREADS)
fn shift(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = 4u * ((group.y * groups.x + group.x) * THREADS + lane);
    put(i, factor[i / 4u] * x[i / 4u] + shifts[i / 4u]);
}
