// The part of attention's gradient that all keys of a query have in common.
//
// Formula:  stats[i].y = Σ_e dz[i,e]·z[i,e]
// Shapes:   stats [n] vec2; dz, z [n, cols] Elems; n query heads
// Bindings: 0 stats, 1 dz, 2 z, 3 params
// Grid:     one invocation per query head, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup; Elem, of elem1 or elem4

struct Params {
    n: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> dz: array<Elem>;
@group(0) @binding(2) var<storage, read> z: array<Elem>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i >= p.n) {
        return;
    }
    // The sum is formed exactly as the other kernels form dz·v: where a query sees a single
    // key, so that z = v, their difference must be 0.
    var sum = vec4<f32>(0.0);
    for (var c = i * p.cols; c < (i + 1u) * p.cols; c++) {
        sum += dz[c] * Quad(z[c], z[c], z[c], z[c]);
    }
    stats[i].y = sum.x;
}
