// Dropout with a mask that follows from a seed, see tensor.Dropout.
//
// Formula:  out[i] = keep·x[i] if random(first + i) ≥ threshold, else 0; or with accumulate, out += that
// Shapes:   out, x: n values
// Bindings: 0 out, 1 x, 2 params
// Grid:     one invocation per value, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

struct Params {
    n: u32,
    first: u32,
    seed_low: u32,
    seed_high: u32,
    threshold: u32,
    keep: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i >= p.n) {
        return;
    }
    var v = 0.0;
    if (mix(mix((p.first + i) ^ p.seed_low) ^ p.seed_high) >= p.threshold) {
        v = p.keep * x[i];
    }
    if (p.accumulate != 0u) {
        v += out[i];
    }
    out[i] = v;
}

fn mix(v: u32) -> u32 {
    var h = v;
    h ^= h >> 16u;
    h *= 0x7feb352du;
    h ^= h >> 15u;
    h *= 0x846ca68bu;
    return h ^ (h >> 16u);
}
