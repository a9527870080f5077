// Copies rows by number, see tensor.Gather.
//
// Formula:  out[m] = x[rows[m]] for m with lo ≤ rows[m] < hi, and 0 where rows[m] < 0
// Shapes:   out [M, cols] elements, n = M·cols; x: rows lo to hi; rows [M]
// Bindings: 0 out, 1 x, 2 rows, 3 params
// Grid:     one invocation per element, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup; Elem, f32 or vec4<f32>

struct Params {
    n: u32,
    cols: u32,
    lo: u32,
    hi: u32,
    last: u32, // the last row of x, which numbers beyond it read
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(1) var<storage, read> x: array<Elem>;
@group(0) @binding(2) var<storage, read> rows: array<i32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + lane;
    if (at >= p.n) { return; }
    let number = rows[at / p.cols];
    if (number < 0) {
        out[at] = Elem();
        return;
    }
    let row = min(u32(number), p.last);
    if (row < p.lo || row >= p.hi) { return; }
    out[at] = x[(row - p.lo) * p.cols + at % p.cols];
}
