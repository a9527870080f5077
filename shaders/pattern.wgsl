// Attention in steps, over whole matrices of scores or weights.
//
// Formula:  pairs    out[i,j] = a[i]·b[j]; if SCORES, cap(scale·a[i]·b[j]), and −∞ where query i
//                    doesn't see key j (the rule and the cap of heads.wgsl)
//           by_query out[i] = Σ_j w[i,j]·b[j]
//           by_key   out[j] = Σ_i w[i,j]·a[i], over all query heads of the key head
//           w = weights, or if SCORES, weights·scale·cap'(scores), 0 where scores is −∞
// Shapes:   by query: a, and out of by_query [B, queries, heads, cols] Elems; by key: b, and out of by_key
//           [B, keys, kv_heads, cols] Elems; weights, scores, and out of pairs [B, heads, queries, keys]; segment [B, keys]
// Bindings: pairs 0 out, 1 a, 2 b, 3 segment, 5 params; by_query 0 out, 1 weights, 2 scores, 4 b, 5 params;
//           by_key 0 out, 1 weights, 2 scores, 4 a, 5 params
// Grid:     folded over x and y; pairs: one workgroup per 32 queries × 32 keys of a head, 8 × 8 lanes of
//           4 × 4; by_query and by_key: one invocation per 4 queries (keys) of a head and column
// Consts:   SCORES; THREADS of by_query and by_key; Elem, of elem1 or elem4

struct Params {
    batch: u32,
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
    scale: f32,
    soft_cap: f32,
    infinity: f32, // a compiler may refuse to write it
}

// HIDDEN and what is below count as −∞.
const HIDDEN: f32 = -3.0e38;
const COUNT: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

@group(0) @binding(0) var<storage, read_write> matrix: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<Elem>;
@group(0) @binding(2) var<storage, read> b: array<Elem>;
@group(0) @binding(3) var<storage, read> segment: array<i32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(8, 8)
fn pairs(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_id) lane: vec3<u32>) {
    let n = p.start + group.y * groups.x + group.x;
    if (n >= p.end) {
        return;
    }
    let across = (p.keys + 31u) / 32u;
    let down = (p.queries + 31u) / 32u;
    let head = n / (across * down); // of all sequences
    let batch = head / p.heads;
    let queries = n / across % down * 32u + lane.y + 8u * COUNT;
    let keys = n % across * 32u + lane.x + 8u * COUNT;
    let row = min(queries, vec4<u32>(p.queries - 1u));
    let col = min(keys, vec4<u32>(p.keys - 1u));
    let at_row = ((batch * p.queries + row) * p.heads + head % p.heads) * p.cols;
    let at_col = ((batch * p.keys + col) * p.kv_heads + head % p.heads / (p.heads / p.kv_heads)) * p.cols;
    var s0 = vec4<f32>(0.0);
    var s1 = vec4<f32>(0.0);
    var s2 = vec4<f32>(0.0);
    var s3 = vec4<f32>(0.0);
    for (var c = 0u; c < p.cols; c++) {
        let k = Quad(b[at_col.x + c], b[at_col.y + c], b[at_col.z + c], b[at_col.w + c]);
        s0 += a[at_row.x + c] * k;
        s1 += a[at_row.y + c] * k;
        s2 += a[at_row.z + c] * k;
        s3 += a[at_row.w + c] * k;
    }
    let first = batch * p.keys;
    put(head, queries.x, keys, finish(s0, first, queries.x, keys));
    put(head, queries.y, keys, finish(s1, first, queries.y, keys));
    put(head, queries.z, keys, finish(s2, first, queries.z, keys));
    put(head, queries.w, keys, finish(s3, first, queries.w, keys));
}

// finish makes the scores of a query and 4 keys out of their products. The keys of the
// sequence begin at first.
fn finish(product: vec4<f32>, first: u32, query: u32, keys: vec4<u32>) -> vec4<f32> {
    if (!SCORES) {
        return product;
    }
    let pos = p.first + query;
    var sees = (keys <= vec4<u32>(pos)) & (pos - keys < vec4<u32>(p.window));
    if (p.segmented != 0u) {
        let i = first + min(keys, vec4<u32>(p.keys - 1u));
        let own = segment[first + min(pos, p.keys - 1u)];
        let others = vec4<i32>(segment[i.x], segment[i.y], segment[i.z], segment[i.w]);
        sees = sees & (others == vec4<i32>(own)) & (others >= vec4<i32>(0));
    }
    return select(vec4<f32>(-p.infinity), cap(p.scale * product), sees | (keys < vec4<u32>(p.prefix)));
}

fn put(head: u32, query: u32, keys: vec4<u32>, s: vec4<f32>) {
    if (query >= p.queries) {
        return;
    }
    let row = (head * p.queries + query) * p.keys;
    if (keys.x < p.keys) { matrix[row + keys.x] = s.x; }
    if (keys.y < p.keys) { matrix[row + keys.y] = s.y; }
    if (keys.z < p.keys) { matrix[row + keys.z] = s.z; }
    if (keys.w < p.keys) { matrix[row + keys.w] = s.w; }
}

fn cap(x: vec4<f32>) -> vec4<f32> {
    if (p.soft_cap > 0.0) {
        // Some GPUs compute tanh from exp and overflow; beyond 15 it is 1 anyway.
        return p.soft_cap * tanh(clamp(x / p.soft_cap, vec4<f32>(-15.0), vec4<f32>(15.0)));
    }
    return x;
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> scores: array<f32>;
@group(0) @binding(4) var<storage, read> values: array<Elem>;

// weight gives w at four places.
fn weight(i: vec4<u32>) -> vec4<f32> {
    let w = vec4<f32>(weights[i.x], weights[i.y], weights[i.z], weights[i.w]);
    if (!SCORES) {
        return w;
    }
    let s = vec4<f32>(scores[i.x], scores[i.y], scores[i.z], scores[i.w]);
    var slope = vec4<f32>(p.scale);
    if (p.soft_cap > 0.0) {
        slope *= 1.0 - (s / p.soft_cap) * (s / p.soft_cap);
    }
    return select(vec4<f32>(0.0), w * slope, s > vec4<f32>(HIDDEN));
}

@compute @workgroup_size(THREADS)
fn by_query(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = (p.start + group.y * groups.x + group.x) * THREADS + lane;
    let c = n % p.cols;
    let head = n / p.cols % p.heads;
    let fours = (p.queries + 3u) / 4u;
    let batch = n / p.cols / p.heads / fours;
    if (batch >= p.batch) {
        return;
    }
    let own = n / p.cols / p.heads % fours * 4u + COUNT;
    var at = ((batch * p.heads + head) * p.queries + min(own, vec4<u32>(p.queries - 1u))) * p.keys;
    let key_head = head / (p.heads / p.kv_heads);
    var d0 = Elem(0.0);
    var d1 = Elem(0.0);
    var d2 = Elem(0.0);
    var d3 = Elem(0.0);
    for (var j = 0u; j < p.keys; j++) {
        let w = weight(at + j);
        let value = values[((batch * p.keys + j) * p.kv_heads + key_head) * p.cols + c];
        d0 += w.x * value;
        d1 += w.y * value;
        d2 += w.z * value;
        d3 += w.w * value;
    }
    let places = ((batch * p.queries + own) * p.heads + head) * p.cols + c;
    if (own.x < p.queries) { out[places.x] = d0; }
    if (own.y < p.queries) { out[places.y] = d1; }
    if (own.z < p.queries) { out[places.z] = d2; }
    if (own.w < p.queries) { out[places.w] = d3; }
}

@compute @workgroup_size(THREADS)
fn by_key(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = (p.start + group.y * groups.x + group.x) * THREADS + lane;
    let c = n % p.cols;
    let key_head = n / p.cols % p.kv_heads;
    let fours = (p.keys + 3u) / 4u;
    let batch = n / p.cols / p.kv_heads / fours;
    if (batch >= p.batch) {
        return;
    }
    let own = n / p.cols / p.kv_heads % fours * 4u + COUNT;
    let share = p.heads / p.kv_heads;
    var d0 = Elem(0.0);
    var d1 = Elem(0.0);
    var d2 = Elem(0.0);
    var d3 = Elem(0.0);
    for (var row = 0u; row < share * p.queries; row++) {
        let head = key_head * share + row / p.queries;
        let query = row % p.queries;
        let w = weight(((batch * p.heads + head) * p.queries + query) * p.keys + min(own, vec4<u32>(p.keys - 1u)));
        let value = values[((batch * p.queries + query) * p.heads + head) * p.cols + c];
        d0 += w.x * value;
        d1 += w.y * value;
        d2 += w.z * value;
        d3 += w.w * value;
    }
    let places = ((batch * p.keys + own) * p.kv_heads + key_head) * p.cols + c;
    if (own.x < p.keys) { out[places.x] = d0; }
    if (own.y < p.keys) { out[places.y] = d1; }
    if (own.z < p.keys) { out[places.z] = d2; }
    if (own.w < p.keys) { out[places.w] = d3; }
}
