// The gradient of attention's queries, streaming over tiles of keys.
//
// Formula:  s[i,j] = cap(scale·q[i]·k[j]) for the keys j that query i sees
//           g[i,j] = exp(s[i,j] − lse[i])·(dz[i]·v[j] − d[i])·cap'·scale
//           dq[i] = Σ_j g[i,j]·k[j]
// Shapes:   dq, q, dz [B, queries, kv_heads, share, COLS] Elems; stats [B, queries, kv_heads, share] vec2 {lse, d};
//           k, v [B, keys, kv_heads, COLS] Elems; segment [B, keys]
// Bindings: 0 dq, 1 stats, 2 q, 3 k, 4 v, 5 dz, 6 segment, 7 params
// Grid:     that of attention.wgsl
// Consts:   COLS, HEIGHT and others of heads.wgsl, which stands before and declares COUNT, THREADS, TILE, CELLS; products.wgsl or staged.wgsl; Elem, of elem1 or elem4

@group(0) @binding(0) var<storage, read_write> dq: array<Elem>;
@group(0) @binding(1) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> q: array<Elem>;
@group(0) @binding(3) var<storage, read> k: array<Elem>;
@group(0) @binding(4) var<storage, read> v: array<Elem>;
@group(0) @binding(5) var<storage, read> dz: array<Elem>;

// cells holds g of 4 rows each, HEIGHT times TILE of them.
var<workgroup> cells: array<vec4<f32>, CELLS>;

// Products 0 are the scores, 1 the gradients of the weights, of rows (downwards) and keys (across).
fn down_value(which: u32, i: u32) -> Elem {
    if (which == 0u) {
        return q[i];
    }
    return dz[i];
}

fn across_value(which: u32, i: u32) -> Elem {
    if (which == 0u) {
        return k[i];
    }
    return v[i];
}

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
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
    let of_rows = Rows(positions(rows), segments_at(b, positions(rows)),
        vec4<f32>(stats[heads.x].x, stats[heads.y].x, stats[heads.z].x, stats[heads.w].x),
        vec4<f32>(stats[heads.x].y, stats[heads.y].y, stats[heads.z].y, stats[heads.w].y));
    let tiles = tiles_for_rows(b);

    var d0 = Elem(0.0);
    var d1 = Elem(0.0);
    var d2 = Elem(0.0);
    var d3 = Elem(0.0);
    for (var i = 0u; i < tiles.count; i++) {
        let start = tile_start(tiles, i);
        let keys = start + x + COLS * COUNT;
        let places = min(keys, vec4<u32>(tiles.limit - 1u));
        let key_segments = segments_at(b, places);
        let at_keys = keys_at(b, places) * COLS;
        let s = products(0u, lane, heads * COLS, at_keys);
        let dw = products(1u, lane, heads * COLS, at_keys);
        cells[y + x] = gradient(s[0], dw[0], keys.x, key_segments.x, of_rows);
        cells[y + x + COLS] = gradient(s[1], dw[1], keys.y, key_segments.y, of_rows);
        cells[y + x + 2u * COLS] = gradient(s[2], dw[2], keys.z, key_segments.z, of_rows);
        cells[y + x + 3u * COLS] = gradient(s[3], dw[3], keys.w, key_segments.w, of_rows);
        workgroupBarrier();
        let stride = p.kv_heads * COLS;
        var at = keys_at(b, vec4<u32>(start)).x * COLS + x;
        let count = min(TILE, tiles.limit - start);
        for (var j = 0u; j < count; j++) {
            let g = cells[y + j];
            let key = k[at];
            d0 += g.x * key;
            d1 += g.y * key;
            d2 += g.z * key;
            d3 += g.w * key;
            at += stride;
        }
        workgroupBarrier();
    }
    let end = p.queries * share();
    if (own.x < end) { dq[heads.x * COLS + x] = d0; }
    if (own.y < end) { dq[heads.y * COLS + x] = d1; }
    if (own.z < end) { dq[heads.z * COLS + x] = d2; }
    if (own.w < end) { dq[heads.w * COLS + x] = d3; }
}

// Rows is what is known of 4 rows.
struct Rows {
    pos: vec4<u32>,
    segments: vec4<i32>,
    lse: vec4<f32>,
    d: vec4<f32>,
}

// gradient gives g of 4 rows and a key.
fn gradient(product: vec4<f32>, dw: vec4<f32>, key: u32, key_segment: i32, r: Rows) -> vec4<f32> {
    let s = cap(p.scale * product);
    let w = exp(min(s - r.lse, vec4<f32>(0.0)));
    let sees = visible(vec4<u32>(key), vec4<i32>(key_segment), r.pos, r.segments);
    return select(vec4<f32>(0.0), w * (dw - r.d) * cap_slope(s) * p.scale, sees);
}
