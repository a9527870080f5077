// Sums of squares of equal, consecutive parts, see tensor.SumSquares.
//
// Formula:  out[first+j] = Σ x[skip+i]² over i from j·share to (j+1)·share, but below n
// Shapes:   x: skip+n values; out: at least first+parts values
// Bindings: 0 out, 1 x, 2 params
// Grid:     one workgroup per part, folded over x and y
// Consts:   THREADS, the size of a workgroup, a power of two; reduce.wgsl stands before this file

struct Params {
    n: u32,
    share: u32,
    skip: u32,
    first: u32,
    parts: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn sum_squares(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let j = group.y * groups.x + group.x;
    if (j >= p.parts) { return; }
    let end = min((j + 1u) * p.share, p.n);
    var sum = 0.0;
    for (var i = j * p.share + lane; i < end; i += THREADS) {
        let v = x[p.skip + i];
        sum += v * v;
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) { out[p.first + j] = sum; }
}
