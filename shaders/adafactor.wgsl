// The step of Adafactor, see tensor.Adafactor, in six entry points that run one after the other.
//
// Formula:  squares_of_rows: row[i] = β·row[i] + fresh·(mean_j g² + eps), g = clip[1]·grad, fresh = 1−β
//           squares_of_cols: col[j] = β·col[j] + fresh·(mean_i g² + eps)
//           means: part[b] = mean of the rows of matrix b
//           shares: part[matrices + i] = Σ_j u², u = g/(√(row[i]/part[b])·√col[j])
//           total: part[matrices + all] = lr/max(1, √(Σ part[matrices + i]/(all·cols)))
//           step: param −= decay·param + part[matrices + all]·u
// Shapes:   param, grad [all, cols]; row [all]; col [matrices, cols]; part [matrices + all + 1]; clip [2]; all = matrices·rows
// Bindings: 0 param, 1 row, 2 col, 3 part, 4 grad, 5 clip, 6 params; only those that a formula names
// Grid:     squares_of_rows, shares: one workgroup per row; squares_of_cols: one per STRIP columns of a matrix, its lanes stand STRIP wide
//           and HEIGHT high; means: one per matrix; total: one; step: one invocation per value; all folded over x and y
// Consts:   THREADS, the size of a workgroup, a power of two and a multiple of STRIP; reduce.wgsl stands before this file

struct Params {
    matrices: u32,
    rows: u32,
    cols: u32,
    fresh: f32,
    eps: f32,
    lr: f32,
    decay: f32,
}

@group(0) @binding(0) var<storage, read_write> param: array<f32>;
@group(0) @binding(1) var<storage, read_write> row: array<f32>;
@group(0) @binding(2) var<storage, read_write> col: array<f32>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;
@group(0) @binding(4) var<storage, read> grad: array<f32>;
@group(0) @binding(5) var<storage, read> clip: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

const STRIP: u32 = 8u;
const HEIGHT: u32 = THREADS / STRIP;

// average is what becomes of an average of squares, given the new squares' sum.
fn average(old: f32, sum: f32, n: u32) -> f32 {
    return (1.0 - p.fresh) * old + p.fresh * (clip[1] * clip[1] * sum / f32(n) + p.eps);
}

@compute @workgroup_size(THREADS)
fn squares_of_rows(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group.y * groups.x + group.x;
    if (i >= p.matrices * p.rows) { return; }
    var sum = 0.0;
    for (var j = lane; j < p.cols; j += THREADS) {
        let g = grad[i * p.cols + j];
        sum += g * g;
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) { row[i] = average(row[i], sum, p.cols); }
}

var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn squares_of_cols(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let strips = (p.cols + STRIP - 1u) / STRIP;
    let at = group.y * groups.x + group.x;
    let b = at / strips;
    let j = at % strips * STRIP + lane % STRIP;
    let ours = b < p.matrices && j < p.cols;
    var sum = 0.0;
    if (ours) {
        for (var i = lane / STRIP; i < p.rows; i += HEIGHT) {
            let g = grad[(b * p.rows + i) * p.cols + j];
            sum += g * g;
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane >= STRIP || !ours) { return; }
    for (var h = 1u; h < HEIGHT; h++) {
        sum += sums[h * STRIP + lane];
    }
    col[b * p.cols + j] = average(col[b * p.cols + j], sum, p.rows);
}

@compute @workgroup_size(THREADS)
fn means(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let b = group.y * groups.x + group.x;
    if (b >= p.matrices) { return; }
    var sum = 0.0;
    for (var i = lane; i < p.rows; i += THREADS) {
        sum += row[b * p.rows + i];
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) { part[b] = sum / f32(p.rows); }
}

// update is u[i,j].
fn update(i: u32, j: u32) -> f32 {
    let b = i / p.rows;
    return clip[1] * grad[i * p.cols + j] / (sqrt(row[i] / part[b]) * sqrt(col[b * p.cols + j]));
}

@compute @workgroup_size(THREADS)
fn shares(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group.y * groups.x + group.x;
    if (i >= p.matrices * p.rows) { return; }
    var sum = 0.0;
    for (var j = lane; j < p.cols; j += THREADS) {
        let u = update(i, j);
        sum += u * u;
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) { part[p.matrices + i] = sum; }
}

@compute @workgroup_size(THREADS)
fn total(@builtin(local_invocation_index) lane: u32) {
    let all = p.matrices * p.rows;
    var sum = 0.0;
    for (var i = lane; i < all; i += THREADS) {
        sum += part[p.matrices + i];
    }
    sum = sum_lanes(lane, sum);
    if (lane == 0u) { part[p.matrices + all] = p.lr / max(1.0, sqrt(sum / (f32(all) * f32(p.cols)))); }
}

@compute @workgroup_size(THREADS)
fn step(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + lane;
    let all = p.matrices * p.rows;
    if (at >= all * p.cols) { return; }
    param[at] = param[at] - (p.decay * param[at] + part[p.matrices + all] * update(at / p.cols, at % p.cols));
}
