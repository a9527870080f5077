// Attention, streaming over tiles of keys, so that the matrix of scores never exists.
//
// Formula:  s[i,j] = cap(scale·q[i]·k[j]) for the keys j that query i sees
//           lse[i] = log Σ_j exp(s[i,j]), z[i] = Σ_j exp(s[i,j] − lse[i])·v[j]
//           −∞ and 0 where i sees nothing. Meanwhile, sums are relative to the maximum so far.
// Shapes:   z, q [B, queries, kv_heads, share, COLS] Elems; stats [B, queries, kv_heads, share] vec2 {lse, 0};
//           k, v [B, keys, kv_heads, COLS] Elems; segment [B, keys]
// Bindings: 0 z, 1 stats, 2 q, 3 k, 4 v, 6 segment, 7 params
// Grid:     one workgroup per 4·HEIGHT rows of a key head (see heads.wgsl), folded over x and y.
//           On a tile of 4·COLS keys each lane first takes 4 rows × 4 keys of the scores,
//           then the same 4 rows × 1 column of the result.
// Consts:   COLS, HEIGHT and others of heads.wgsl, which stands before and declares COUNT, THREADS, TILE, CELLS; products.wgsl or staged.wgsl; Elem, of elem1 or elem4

@group(0) @binding(0) var<storage, read_write> z: array<Elem>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> q: array<Elem>;
@group(0) @binding(3) var<storage, read> k: array<Elem>;
@group(0) @binding(4) var<storage, read> v: array<Elem>;

// No score is below LOW, and exp(MASKED − LOW) is 0. Both are finite, because a WGSL
// compiler may assume that there are no infinities.
const LOW: f32 = -1.0e37;
const MASKED: f32 = -2.0e38;

// cells holds values of 4 rows each, HEIGHT times TILE of them.
var<workgroup> cells: array<vec4<f32>, CELLS>;

// The scores are products of rows (downwards) and keys (across).
fn down_value(which: u32, i: u32) -> Elem { return q[i]; }

fn across_value(which: u32, i: u32) -> Elem { return k[i]; }

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = p.start + group.y * groups.x + group.x;
    if (n >= p.end) {
        return;
    }
    let b = block_of(n);
    let x = lane % COLS;
    let y = lane / COLS * TILE;
    let own = b.first + lane / COLS * 4u + COUNT;
    let rows = min(own, vec4<u32>(p.queries * share() - 1u));
    let heads = rows_at(b, rows);
    let pos = positions(rows);
    let segments = segments_at(b, pos);
    let tiles = tiles_for_rows(b);

    var top = vec4<f32>(LOW);
    var sum = vec4<f32>(0.0); // of this lane's keys
    var z0 = Elem(0.0);
    var z1 = Elem(0.0);
    var z2 = Elem(0.0);
    var z3 = Elem(0.0);
    for (var i = 0u; i < tiles.count; i++) {
        let start = tile_start(tiles, i);
        let keys = start + x + COLS * COUNT;
        let places = min(keys, vec4<u32>(tiles.limit - 1u));
        let key_segments = segments_at(b, places);
        let s = products(0u, lane, heads * COLS, keys_at(b, places) * COLS);
        let s0 = seen(s[0], keys.x, key_segments.x, pos, segments);
        let s1 = seen(s[1], keys.y, key_segments.y, pos, segments);
        let s2 = seen(s[2], keys.z, key_segments.z, pos, segments);
        let s3 = seen(s[3], keys.w, key_segments.w, pos, segments);

        cells[y + x] = max(max(s0, s1), max(s2, s3));
        workgroupBarrier();
        let before = top;
        for (var c = 0u; c < COLS; c++) {
            top = max(top, cells[y + c]);
        }
        workgroupBarrier();
        let w0 = exp(s0 - top);
        let w1 = exp(s1 - top);
        let w2 = exp(s2 - top);
        let w3 = exp(s3 - top);
        cells[y + x] = w0;
        cells[y + x + COLS] = w1;
        cells[y + x + 2u * COLS] = w2;
        cells[y + x + 3u * COLS] = w3;
        workgroupBarrier();
        let fade = exp(before - top);
        sum = sum * fade + ((w0 + w1) + (w2 + w3));
        z0 *= fade.x;
        z1 *= fade.y;
        z2 *= fade.z;
        z3 *= fade.w;
        let stride = p.kv_heads * COLS;
        var at = keys_at(b, vec4<u32>(start)).x * COLS + x;
        let count = min(TILE, tiles.limit - start);
        for (var j = 0u; j < count; j++) {
            let w = cells[y + j];
            let value = v[at];
            z0 += w.x * value;
            z1 += w.y * value;
            z2 += w.z * value;
            z3 += w.w * value;
            at += stride;
        }
        workgroupBarrier();
    }

    cells[y + x] = sum;
    workgroupBarrier();
    var sums = vec4<f32>(0.0);
    for (var c = 0u; c < COLS; c++) {
        sums += cells[y + c];
    }
    let none = sums < vec4<f32>(0.5); // the weight of the maximum is 1
    let share = select(1.0 / sums, vec4<f32>(0.0), none);
    let lse = select(top + log(sums), vec4<f32>(-p.infinity), none);
    put(own.x, heads.x, x, share.x * z0, lse.x);
    put(own.y, heads.y, x, share.y * z1, lse.y);
    put(own.z, heads.z, x, share.z * z2, lse.z);
    put(own.w, heads.w, x, share.w * z3, lse.w);
}

// seen makes the scores of 4 rows and a key out of their products.
fn seen(product: vec4<f32>, key: u32, key_segment: i32, pos: vec4<u32>, segments: vec4<i32>) -> vec4<f32> {
    let sees = visible(vec4<u32>(key), vec4<i32>(key_segment), pos, segments);
    return select(vec4<f32>(MASKED), cap(p.scale * product), sees);
}

fn put(row: u32, head: u32, x: u32, value: Elem, lse: f32) {
    if (row >= p.queries * share()) {
        return;
    }
    z[head * COLS + x] = value;
    if (x == 0u) {
        stats[head] = vec2<f32>(lse, 0.0);
    }
}
