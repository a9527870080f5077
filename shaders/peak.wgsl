// Measures what a GPU can do at most: multiplications and additions, bytes moved.
//
// Formula:  multiply: 4 chains of 8·turns steps a = a·x + y with vec4s; copy: dst[i] = src[i]
// Shapes:   dst, src: vec4s, as many as there are invocations
// Bindings: 0 dst, 1 src, 2 params
// Grid:     one invocation per vec4, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

struct Params {
    turns: u32,
    count: u32, // of vec4s
}

@group(0) @binding(0) var<storage, read_write> dst: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn copy(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i >= p.count) { return; }
    dst[i] = src[i];
}

@compute @workgroup_size(THREADS)
fn multiply(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let x = src[lane % p.count]; // unknown to the compiler
    let y = src[(lane + 1u) % p.count];
    var a0 = x;
    var a1 = x + vec4<f32>(1.0);
    var a2 = x + vec4<f32>(2.0);
    var a3 = x + vec4<f32>(3.0);
    for (var t = 0u; t < p.turns; t++) {
        a0 = eight(a0, x, y);
        a1 = eight(a1, x, y);
        a2 = eight(a2, x, y);
        a3 = eight(a3, x, y);
    }
    let sum = a0 + a1 + a2 + a3;
    if (sum.x == 0.1234) { dst[lane % p.count] = sum; } // never
}

// eight does eight steps.
fn eight(a: vec4<f32>, x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    var b = fma(a, x, y);
    b = fma(b, x, y);
    b = fma(b, x, y);
    b = fma(b, x, y);
    b = fma(b, x, y);
    b = fma(b, x, y);
    b = fma(b, x, y);
    return fma(b, x, y);
}
