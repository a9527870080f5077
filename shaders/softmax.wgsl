// Softmax over rows; a row of nothing but −∞ gives zeros.
//
// Formula:  forward   out[n,d] = exp(scores[n,d] − max) / Σ_e exp(scores[n,e] − max)
//           backward  dscores[n,d] = weights[n,d] · (dout[n,d] − Σ_e dout[n,e]·weights[n,e]),
//                     weights being the result
// Shapes:   all [N, cols] Elems
// Bindings: forward 0 out, 1 scores, 3 params; backward 0 dscores, 1 dout, 2 weights, 3 params
// Grid:     one workgroup per row, folded over x and y
// Consts:   THREADS, the size of a workgroup, a power of two; Elem, of elem1 or elem4 with reduce

struct Params {
    rows: u32,
    cols: u32,
}

// HIDDEN and what is below count as −∞. A WGSL compiler may assume that there are no
// infinities, so nothing is compared with one.
const HIDDEN: f32 = -3.0e38;

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(1) var<storage, read> scores: array<Elem>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    var tops = Elem(HIDDEN);
    for (var c = lane; c < p.cols; c += THREADS) {
        tops = max(tops, scores[start + c]);
    }
    let top = max_lanes(lane, largest(tops));
    var sums = Elem(0.0);
    for (var c = lane; c < p.cols; c += THREADS) {
        sums += power(scores[start + c], top);
    }
    let sum = sum_lanes(lane, total(sums));
    let share = select(1.0 / sum, 0.0, sum == 0.0); // a NaN goes on to all
    for (var c = lane; c < p.cols; c += THREADS) {
        out[start + c] = share * power(scores[start + c], top);
    }
}

// power is exp(v − top), and exactly 0 for −∞.
fn power(v: Elem, top: f32) -> Elem {
    return select(exp(v - top), Elem(0.0), v <= Elem(HIDDEN));
}

@group(0) @binding(0) var<storage, read_write> dscores: array<Elem>;
@group(0) @binding(1) var<storage, read> dout: array<Elem>;
@group(0) @binding(2) var<storage, read> weights: array<Elem>;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * groups.x + group.x;
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    var products = Elem(0.0);
    for (var c = lane; c < p.cols; c += THREADS) {
        products += dout[start + c] * weights[start + c];
    }
    let along = sum_lanes(lane, total(products));
    for (var c = lane; c < p.cols; c += THREADS) {
        dscores[start + c] = weights[start + c] * (dout[start + c] - along);
    }
}
