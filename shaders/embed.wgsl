// The embedding lookup from one table, see tensor.Embed.
//
// Formula:  out[n,d] = scale·w[id,d], id = ids[n], for n with lo ≤ id < hi; with EXTRA, id = −1−ids[n]
// Shapes:   out [N, cols], n = N·cols values; w: rows lo to hi of the table; ids [N]
// Bindings: 0 out, 1 w (of weight_*.wgsl, before this file), 2 ids, 3 params
// Grid:     one invocation per value, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup; EXTRA: negative ids count rows of this table, others
//           belong to another one; SPLIT: negative ids belong to another table,
//           and without it to none: their rows are 0

struct Params {
    n: u32,
    cols: u32,
    lo: u32,
    hi: u32,
    last: u32, // the table's last row, which ids beyond it read
    scale: f32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<i32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + lane;
    if (at >= p.n) { return; }
    var id = ids[at / p.cols];
    if (EXTRA) {
        id = -1 - id;
    }
    if (id < 0) {
        if (!EXTRA && !SPLIT) {
            out[at] = 0.0;
        }
        return;
    }
    let row = min(bitcast<u32>(id), p.last);
    if (row < p.lo || row >= p.hi) { return; }
    out[at] = p.scale * weight1((row - p.lo) * p.cols + at % p.cols);
}
