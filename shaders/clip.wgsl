// The global norm and the factor that clips it, see tensor.ClipNorm.
//
// Formula:  norm = √Σ sums; clip = {norm, min(1, max/(norm + 1e-6))}, {norm, 1} if max is 0
// Shapes:   sums [n]; clip [2]
// Bindings: 0 clip, 1 sums, 2 params
// Grid:     one workgroup
// Consts:   THREADS, the size of a workgroup, a power of two; reduce.wgsl stands before this file

struct Params {
    n: u32,
    max: f32,
}

@group(0) @binding(0) var<storage, read_write> clip: array<f32>;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.n; i += THREADS) {
        sum += sums[i];
    }
    let norm = sqrt(sum_lanes(lane, sum));
    if (lane == 0u) {
        clip[0] = norm;
        clip[1] = select(1.0, min(1.0, p.max / (norm + 1e-6)), p.max > 0.0);
    }
}
