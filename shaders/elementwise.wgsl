// Operations on each value by itself.
//
// Formula:  add               out = left + right
//           scale             out = factor·left, or with accumulate, out += factor·left
//           fill              out = factor
//           div_root          out = left/√right, or with accumulate, out += left/√right
//           softcap           out = factor·tanh(left/factor)
//           softcap_backward  out = left·(1 − (right/factor)²), left being the gradient of the result right
// Shapes:   out, left, right: n values
// Bindings: 0 out, 1 left, 2 right, 3 params; only those that a formula names
// Grid:     one invocation per four values, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

struct Params {
    n: u32,
    factor: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> right: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> p: Params;

// first is the invocation's first value.
fn first(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
    return 4u * ((group.y * groups.x + group.x) * THREADS + lane);
}

// put stores four values from i on, but not those from n on, which are not ours.
fn put(i: u32, v: vec4<f32>) {
    if (i + 4u <= p.n) {
        out[i / 4u] = v;
        return;
    }
    if (i < p.n) { out[i / 4u].x = v.x; }
    if (i + 1u < p.n) { out[i / 4u].y = v.y; }
    if (i + 2u < p.n) { out[i / 4u].z = v.z; }
}

@compute @workgroup_size(THREADS)
fn add(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = first(group, groups, lane);
    put(i, left[i / 4u] + right[i / 4u]);
}

@compute @workgroup_size(THREADS)
fn scale(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = first(group, groups, lane);
    var v = p.factor * left[i / 4u];
    if (p.accumulate != 0u) {
        v += out[i / 4u];
    }
    put(i, v);
}

@compute @workgroup_size(THREADS)
fn fill(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    put(first(group, groups, lane), vec4<f32>(p.factor));
}

@compute @workgroup_size(THREADS)
fn div_root(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = first(group, groups, lane);
    var v = left[i / 4u] / sqrt(right[i / 4u]);
    if (p.accumulate != 0u) {
        v += out[i / 4u];
    }
    put(i, v);
}

@compute @workgroup_size(THREADS)
fn softcap(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = first(group, groups, lane);
    // Some GPUs compute tanh from exp and overflow; beyond 15 it is 1 anyway.
    let bound = vec4<f32>(15.0);
    put(i, p.factor * tanh(clamp(left[i / 4u] / p.factor, -bound, bound)));
}

@compute @workgroup_size(THREADS)
fn softcap_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = first(group, groups, lane);
    let t = right[i / 4u] / p.factor;
    put(i, left[i / 4u] * (1.0 - t * t));
}
