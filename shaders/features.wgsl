// Sums over a query's attention weights, without a matrix of them.
//
// Formula:  w[j] = exp(cap(scale·q[i]·k[j]) − lse[i]) for the keys j that query i sees (the rule of heads.wgsl);
//           with a the key that it stands at, its features are, in this order: w[sink], w[a], w[a−1], w[a−period],
//           w[a−period+1]; Σ w[j] over j < a with id[j] = id[a]; over 0 < j ≤ a with id[j−1] = id[a];
//           Σ w[j]·(lse − s[j]); Σ w[j]·(a−j); Σ w[j] over j < lead
// Shapes:   features [B, queries, heads, 10]; q [B, queries, heads, cols] Elems; k [B, keys, kv_heads, cols];
//           stats [B, queries, heads] vec2 {lse, …}; ids, segment [B, keys]
// Bindings: 0 features, 1 q, 2 k, 3 stats, 4 ids, 5 segment, 6 params
// Grid:     one workgroup per query of a head, folded over x and y
// Consts:   THREADS, the size of a workgroup, a power of two; Elem, of elem1 or elem4 with reduce

struct Params {
    queries: u32,
    keys: u32,
    first: u32,
    prefix: u32,
    window: u32,
    heads: u32,
    kv_heads: u32,
    cols: u32, // Elems in a head
    segmented: u32,
    start: u32, // the dispatch's workgroups are from start up to end
    end: u32,
    sink: u32,
    period: u32,
    lead: u32,
    scale: f32,
    soft_cap: f32,
}

@group(0) @binding(0) var<storage, read_write> features: array<f32>;
@group(0) @binding(1) var<storage, read> q: array<Elem>;
@group(0) @binding(2) var<storage, read> k: array<Elem>;
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> ids: array<i32>;
@group(0) @binding(5) var<storage, read> segment: array<i32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = p.start + group.y * groups.x + group.x; // a query's head
    if (row >= p.end) {
        return;
    }
    let head = row % p.heads;
    let query = row / p.heads % p.queries;
    let keys = row / p.heads / p.queries * p.keys; // where the sequence's keys begin
    let at = min(p.first + query, p.keys - 1u);
    let limit = max(at + 1u, p.prefix);
    let lse = stats[row].x;

    var near = vec4<f32>(0.0);  // sink, self, previous, duplicate
    var found = vec4<f32>(0.0); // induction, same, after the same, lead
    var spread = vec2<f32>(0.0); // entropy, distance
    for (var j = lane; j < limit; j += THREADS) {
        if (!sees(keys, at, j)) {
            continue;
        }
        var dots = Elem(0.0);
        let key = ((keys + j) * p.kv_heads + head / (p.heads / p.kv_heads)) * p.cols;
        for (var c = 0u; c < p.cols; c++) {
            dots += q[row * p.cols + c] * k[key + c];
        }
        let s = cap(p.scale * total(dots));
        let w = exp(s - lse);
        let back = i32(at) - i32(j);
        let period = i32(p.period);
        let own = ids[keys + at];
        let before = ids[keys + max(j, 1u) - 1u];
        near += select(vec4<f32>(0.0), vec4<f32>(w), vec4<bool>(j == p.sink, back == 0, back == 1, back == period));
        found += select(vec4<f32>(0.0), vec4<f32>(w), vec4<bool>(back == period - 1,
            back > 0 && ids[keys + j] == own, j > 0u && back >= 0 && before == own, j < p.lead));
        spread += w * vec2<f32>(lse - s, f32(back));
    }
    let out = row * 10u;
    put(lane, out, near.x);
    put(lane, out + 1u, near.y);
    put(lane, out + 2u, near.z);
    put(lane, out + 3u, near.w);
    put(lane, out + 4u, found.x);
    put(lane, out + 5u, found.y);
    put(lane, out + 6u, found.z);
    put(lane, out + 7u, spread.x);
    put(lane, out + 8u, spread.y);
    put(lane, out + 9u, found.w);
}

// put adds up what the lanes have.
fn put(lane: u32, place: u32, own: f32) {
    let sum = sum_lanes(lane, own);
    if (lane == 0u) {
        features[place] = sum;
    }
}

fn sees(keys: u32, at: u32, j: u32) -> bool {
    if (j < p.prefix) {
        return true;
    }
    if (j > at || at - j >= p.window) {
        return false;
    }
    return p.segmented == 0u || (segment[keys + j] == segment[keys + at] && segment[keys + at] >= 0);
}

fn cap(x: f32) -> f32 {
    if (p.soft_cap > 0.0) {
        // Some GPUs compute tanh from exp and overflow; beyond 15 it is 1 anyway.
        return p.soft_cap * tanh(clamp(x / p.soft_cap, -15.0, 15.0));
    }
    return x;
}
