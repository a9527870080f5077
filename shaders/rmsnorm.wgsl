// Root-mean-square normalisation of rows.
//
// Formula:  forward   r[n] = √(mean_d x[n,d]² + eps)
//                     out[n,d] = x[n,d]/r[n] · (offset + w[d])
//           backward  g[n,d] = dout[n,d] · (offset + w[d])
//                     dx[n,d] = g[n,d]/r[n] − x[n,d]/(D·r[n]³) · Σ_e g[n,e]·x[n,e]
//                     or with accumulate, dx += that
// Shapes:   out, dx, dout, x [N, cols] Elems; w [cols] Elems; r [N]
// Bindings: forward 0 out, 1 r, 2 x, 3 w, 5 params; backward 0 dx, 1 dout, 2 x, 3 w, 4 r, 5 params
// Grid:     that of reduce.wgsl, one workgroup per row, folded over x and y; or that of alone.wgsl
// Consts:   THREADS, and TEAM of reduce or alone, which stands before; Elem, of elem1 or elem4

struct Params {
    rows: u32,
    cols: u32,
    mean: f32, // 1/D
    eps: f32,
    offset: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(1) var<storage, read_write> rms: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<Elem>;
@group(0) @binding(3) var<storage, read> w: array<Elem>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = row_of(group, groups, lane);
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    var squares = Elem(0.0);
    for (var c = member(lane); c < p.cols; c += TEAM) {
        squares += x[start + c] * x[start + c];
    }
    let r = sqrt(sum_lanes(lane, total(squares)) * p.mean + p.eps);
    if (member(lane) == 0u) {
        rms[row] = r;
    }
    for (var c = member(lane); c < p.cols; c += TEAM) {
        out[start + c] = x[start + c] / r * (p.offset + w[c]);
    }
}

@group(0) @binding(0) var<storage, read_write> dx: array<Elem>;
@group(0) @binding(1) var<storage, read> dout: array<Elem>;
@group(0) @binding(4) var<storage, read> forward_rms: array<f32>;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = row_of(group, groups, lane);
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    var products = Elem(0.0);
    for (var c = member(lane); c < p.cols; c += TEAM) {
        products += dout[start + c] * (p.offset + w[c]) * x[start + c];
    }
    let r = forward_rms[row];
    let along = sum_lanes(lane, total(products)) * p.mean / (r * r);
    for (var c = member(lane); c < p.cols; c += TEAM) {
        var d = (dout[start + c] * (p.offset + w[c]) - x[start + c] * along) / r;
        if (p.accumulate != 0u) {
            d += dx[start + c];
        }
        dx[start + c] = d;
    }
}
