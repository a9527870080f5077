// The gradient of an embedding table, see tensor.EmbedBackward.
//
// Formula:  dtable[v,d] = scale · Σ_{n: ids[n] = id(v)} dout[n,d], or with accumulate, dtable += …
//           id(v) = first + v, or with extra, −1 − (first + v)
// Shapes:   dtable [rows, cols] elements; dout [n, cols] elements; ids [n]
// Bindings: 0 dtable, 1 dout, 2 ids, 3 params
// Grid:     for each row of dtable `blocks` workgroups of THREADS elements, folded over x and y
// Consts:   THREADS, the size of a workgroup; Elem, f32 or vec4<f32>

struct Params {
    rows: u32,
    first: u32,
    cols: u32,
    n: u32,
    blocks: u32,
    extra: u32,
    scale: f32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> dtable: array<Elem>;
@group(0) @binding(1) var<storage, read> dout: array<Elem>;
@group(0) @binding(2) var<storage, read> ids: array<i32>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> found: atomic<u32>;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = group.y * groups.x + group.x;
    let row = block / p.blocks;
    if (row >= p.rows) { return; }
    var id = i32(p.first + row);
    if (p.extra != 0u) { id = -1 - id; }
    // Most rows of a vocabulary occur nowhere: the lanes look for theirs together first.
    for (var n = lane; n < p.n; n += THREADS) {
        if (ids[n] == id) { atomicStore(&found, 1u); }
    }
    workgroupBarrier();
    let any = atomicLoad(&found) != 0u;
    let col = (block % p.blocks) * THREADS + lane;
    if (col >= p.cols || (!any && p.accumulate != 0u)) { return; }
    var sum = Elem();
    if (any) {
        for (var n = 0u; n < p.n; n++) {
            if (ids[n] == id) { sum += dout[n * p.cols + col]; }
        }
    }
    sum *= p.scale;
    let at = row * p.cols + col;
    if (p.accumulate != 0u) { sum += dtable[at]; }
    dtable[at] = sum;
}
