// Factors for columns, and sums over rows.
//
// Formula:  scale  out[n,d] = s[d]·x[n,d], or with accumulate, out += that
//           sums   out[d] = Σ_n x[n,d]·y[n,d], or with accumulate, out += that; sums_alone: y is 1
// Shapes:   scale: out, x [N, cols] Elems, s [cols]; sums: out [cols], x, y [N, cols]
// Bindings: 0 out, 1 x, 2 other: s (scale) or y (sums), 3 params
// Grid:     scale: one invocation per Elem, workgroups folded over x and y; sums: one workgroup per STRIP columns,
//           its lanes stand STRIP wide and HEIGHT high, and each sums every HEIGHTth row
// Consts:   HEIGHT, the rows that a workgroup takes at a time; Elem

struct Params {
    rows: u32,
    cols: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(1) var<storage, read> x: array<Elem>;
@group(0) @binding(2) var<storage, read> other: array<Elem>;
@group(0) @binding(3) var<uniform> p: Params;

const STRIP: u32 = 8u;
const THREADS: u32 = STRIP * HEIGHT;

@compute @workgroup_size(THREADS)
fn scale(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i >= p.rows * p.cols) {
        return;
    }
    var v = other[i % p.cols] * x[i];
    if (p.accumulate != 0u) {
        v += out[i];
    }
    out[i] = v;
}

var<workgroup> partial: array<Elem, THREADS>;

@compute @workgroup_size(THREADS)
fn sums(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let c = (group.y * groups.x + group.x) * STRIP + lane % STRIP;
    var sum = Elem(0.0);
    if (c < p.cols) {
        for (var row = lane / STRIP; row < p.rows; row += HEIGHT) {
            sum += x[row * p.cols + c] * other[row * p.cols + c];
        }
    }
    finish(c, lane, sum);
}

@compute @workgroup_size(THREADS)
fn sums_alone(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let c = (group.y * groups.x + group.x) * STRIP + lane % STRIP;
    var sum = Elem(0.0);
    if (c < p.cols) {
        for (var row = lane / STRIP; row < p.rows; row += HEIGHT) {
            sum += x[row * p.cols + c];
        }
    }
    finish(c, lane, sum);
}

// finish adds up what the lanes of a column have, in a fixed order.
fn finish(c: u32, lane: u32, own: Elem) {
    partial[lane] = own;
    workgroupBarrier();
    if (lane >= STRIP || c >= p.cols) {
        return;
    }
    var sum = own;
    for (var h = 1u; h < HEIGHT; h++) {
        sum += partial[h * STRIP + lane];
    }
    if (p.accumulate != 0u) {
        sum += out[c];
    }
    out[c] = sum;
}
