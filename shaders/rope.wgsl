// Rotary position embedding in the half-split order.
//
// Formula:  c = table[pos[n], j], s = sign·table[pos[n], j + half]
//           out[j] = x[j]·c − x[j + half]·s
//           out[j + half] = x[j + half]·c + x[j]·s, or with accumulate, out += that
// Shapes:   out, x [N, heads, 2·half] Elems; table [positions, 2·half] Elems; pos [N]
// Bindings: 0 out, 1 x, 2 table, 3 pos, 4 params
// Grid:     one invocation per pair of Elems, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup; HEADS, HALF (Elems in half a head), constants because every
//           invocation divides by them; Elem

struct Params {
    pairs: u32, // N·heads·half
    sign: f32,  // −1 rotates back
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(1) var<storage, read> x: array<Elem>;
@group(0) @binding(2) var<storage, read> table: array<Elem>;
@group(0) @binding(3) var<storage, read> pos: array<i32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn rotate(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let pair = (group.y * groups.x + group.x) * THREADS + lane;
    if (pair >= p.pairs) {
        return;
    }
    let head = pair / HALF;
    let j = pair % HALF;
    let angle = u32(pos[head / HEADS]) * 2u * HALF + j;
    let c = table[angle];
    let s = p.sign * table[angle + HALF];
    let low = 2u * head * HALF + j;
    let high = low + HALF;
    var a = x[low] * c - x[high] * s;
    var b = x[high] * c + x[low] * s;
    if (p.accumulate != 0u) {
        a += out[low];
        b += out[high];
    }
    out[low] = a;
    out[high] = b;
}
