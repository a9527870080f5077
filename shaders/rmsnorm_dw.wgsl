// The gradient of the weight of the root-mean-square normalisation.
//
// Formula:  dw[d] = Σ_n dout[n,d]·x[n,d]/r[n], or with accumulate, dw += that
// Shapes:   dw [cols] Elems; dout, x [N, cols] Elems; r [N]
// Bindings: 0 dw, 1 dout, 2 x, 3 r, 4 params
// Grid:     one workgroup per STRIP columns; its lanes stand STRIP wide and HEIGHT high, and each sums every HEIGHTth row
// Consts:   HEIGHT, the rows that a workgroup takes at a time; Elem

struct Params {
    rows: u32,
    cols: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> dw: array<Elem>;
@group(0) @binding(1) var<storage, read> dout: array<Elem>;
@group(0) @binding(2) var<storage, read> x: array<Elem>;
@group(0) @binding(3) var<storage, read> rms: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

const STRIP: u32 = 8u;
const THREADS: u32 = STRIP * HEIGHT;

var<workgroup> sums: array<Elem, THREADS>;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let c = (group.y * groups.x + group.x) * STRIP + lane % STRIP;
    var sum = Elem(0.0);
    if (c < p.cols) {
        for (var row = lane / STRIP; row < p.rows; row += HEIGHT) {
            sum += dout[row * p.cols + c] * x[row * p.cols + c] / rms[row];
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    if (lane >= STRIP || c >= p.cols) {
        return;
    }
    for (var y = 1u; y < HEIGHT; y++) {
        sum += sums[y * STRIP + lane];
    }
    if (p.accumulate != 0u) {
        sum += dw[c];
    }
    dw[c] = sum;
}
