// Root-mean-square normalisation in steps.
//
// Formula:  rms           s[n] = √(mean_d x[n,d]² + eps)
//           rms_backward  out[n,d] += dr[n]·x[n,d]/(D·r), r being rms of x
//           divide        out[n,d] = x[n,d]/dr[n], or with accumulate, out += that
//           divide_ds     s[n] = −Σ_d dout[n,d]·x[n,d]/dr[n]²
// Shapes:   out, x, dout [N, cols] Elems; s, dr [N]
// Bindings: 0 out (or s), 1 x, 2 dout, 3 dr, 4 params; only those that a formula names
// Grid:     one workgroup per row, folded over x and y
// Consts:   THREADS, the size of a workgroup, a power of two; Elem, of elem1 or elem4 with reduce

struct Params {
    rows: u32,
    cols: u32,
    mean: f32, // 1/D
    eps: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> s: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<Elem>;
@group(0) @binding(2) var<storage, read> dout: array<Elem>;
@group(0) @binding(3) var<storage, read> dr: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

// root is the root of a row's mean square, the same in all lanes.
fn root(start: u32, lane: u32) -> f32 {
    var squares = Elem(0.0);
    for (var c = lane; c < p.cols; c += THREADS) {
        squares += x[start + c] * x[start + c];
    }
    return sqrt(sum_lanes(lane, total(squares)) * p.mean + p.eps);
}

@compute @workgroup_size(THREADS)
fn rms(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if (row >= p.rows) {
        return;
    }
    let r = root(row * p.cols, lane);
    if (lane == 0u) {
        s[row] = r;
    }
}

@compute @workgroup_size(THREADS)
fn divide_ds(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    var products = Elem(0.0);
    for (var c = lane; c < p.cols; c += THREADS) {
        products += dout[start + c] * x[start + c];
    }
    let along = sum_lanes(lane, total(products));
    if (lane == 0u) {
        s[row] = -along / (dr[row] * dr[row]);
    }
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;

@compute @workgroup_size(THREADS)
fn rms_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    let factor = dr[row] * p.mean / root(start, lane);
    for (var c = lane; c < p.cols; c += THREADS) {
        out[start + c] += factor * x[start + c];
    }
}

@compute @workgroup_size(THREADS)
fn divide(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    for (var c = lane; c < p.cols; c += THREADS) {
        var v = x[start + c] / dr[row];
        if (p.accumulate != 0u) {
            v += out[start + c];
        }
        out[start + c] = v;
    }
}
