// The step of AdamW with moments of 8 bits, see tensor.AdamW8.
//
// Formula:  m = maps[code]·m_max, v = maps[256 + code]·v_max, the step of adamw.wgsl, then
//           m_max = max |m| over the block, code = that of the fraction nearest to m/m_max; likewise v
// Shapes:   param, grad: n values; m, v: a word of four codes per four values, 64 per block;
//           m_max, v_max: one per block; clip [2]; maps [2, 256]
// Bindings: 0 param, 1 m, 2 v, 3 m_max, 4 v_max, 5 grad, 6 clip, 7 maps, 8 params
// Grid:     one workgroup per block of 256 values, folded over x and y
// Consts:   THREADS, the size of a workgroup: 64, a lane per four values; reduce.wgsl stands before this file

struct Params {
    n: u32,
    blocks: u32,
    decay: f32,
    beta1: f32,
    beta2: f32,
    step: f32,
    root: f32,
    eps: f32,
    rest1: f32, // 1−β1
    rest2: f32, // 1−β2
}

@group(0) @binding(0) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> m: array<u32>;
@group(0) @binding(2) var<storage, read_write> v: array<u32>;
@group(0) @binding(3) var<storage, read_write> m_max: array<f32>;
@group(0) @binding(4) var<storage, read_write> v_max: array<f32>;
@group(0) @binding(5) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> clip: array<f32>;
@group(0) @binding(7) var<storage, read> maps: array<f32>;
@group(0) @binding(8) var<uniform> p: Params;

// codes takes the four bytes of a word apart.
fn codes(word: u32) -> vec4<u32> { return (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u); }

// decode looks four codes up in the map that begins at first.
fn decode(word: u32, first: u32) -> vec4<f32> {
    let c = codes(word) + first;
    return vec4<f32>(maps[c.x], maps[c.y], maps[c.z], maps[c.w]);
}

// nearest returns the code of the fraction nearest to x; of two, the smaller one.
fn nearest(x: f32, first: u32) -> u32 {
    var low = 0u; // maps[first+low] ≤ x, unless x is below all
    for (var n = 128u; n > 0u; n = n / 2u) {
        if (maps[first + low + n] <= x) { low += n; }
    }
    if (low < 255u && maps[first + low + 1u] - x < x - maps[first + low]) { low += 1u; }
    return low;
}

// encode replaces the codes of a word by those of the first count fractions of x.
fn encode(x: vec4<f32>, count: u32, old: u32, first: u32) -> u32 {
    var word = old;
    for (var i = 0u; i < count; i++) {
        word = insertBits(word, nearest(x[i], first), 8u * i, 8u);
    }
    return word;
}

// largest returns the largest magnitude of the first count numbers.
fn largest(x: vec4<f32>, count: u32) -> f32 {
    var most = 0.0;
    for (var i = 0u; i < count; i++) {
        most = max(most, abs(x[i]));
    }
    return most;
}

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = group.y * groups.x + group.x;
    if (block >= p.blocks) { return; }
    let q = block * THREADS + lane;
    var ours = 0u;
    if (4u * q < p.n) { ours = min(p.n - 4u * q, 4u); }
    var m_next = vec4<f32>(0.0);
    var v_next = vec4<f32>(0.0);
    if (ours > 0u) {
        let g = clip[1] * grad[q];
        m_next = p.beta1 * decode(m[q], 0u) * m_max[block] + p.rest1 * g;
        v_next = p.beta2 * decode(v[q], 256u) * v_max[block] + p.rest2 * g * g;
        let next = param[q] - (p.decay * param[q] + p.step * m_next / (sqrt(v_next) / p.root + p.eps));
        // What lies behind the last value may be another tensor's.
        for (var i = 0u; i < ours; i++) {
            param[q][i] = next[i];
        }
    }
    let m_most = max_lanes(lane, largest(m_next, ours)); // a barrier: all have read the old ones
    let v_most = max_lanes(lane, largest(v_next, ours));
    if (ours > 0u) {
        m[q] = encode(m_next / select(1.0, m_most, m_most > 0.0), ours, m[q], 0u);
        v[q] = encode(v_next / select(1.0, v_most, v_most > 0.0), ours, v[q], 256u);
    }
    if (lane == 0u) {
        m_max[block] = m_most;
        v_max[block] = v_most;
    }
}
