// The gradients of attention's keys and values, streaming over tiles of queries.
//
// Formula:  s[i,j] = cap(scale·q[i]·k[j]) for the queries i that see key j
//           w[i,j] = exp(s[i,j] − lse[i]), g[i,j] = w[i,j]·(dz[i]·v[j] − d[i])·cap'·scale
//           dv[j] = Σ_i w[i,j]·dz[i], dk[j] = Σ_i g[i,j]·q[i], over all rows of the key head,
//           or with accumulate, dv and dk += that
// Shapes:   dk, dv, k, v [B, keys, kv_heads, COLS] Elems; q, dz [B, queries, kv_heads, share, COLS] Elems;
//           stats [B, queries, kv_heads, share] vec2 {lse, d}; segment [B, keys]
// Bindings: 0 dk, 1 dv, 2 stats, 3 q, 4 k, 5 v, 6 segment, 7 params, 8 dz
// Grid:     one workgroup per 4·HEIGHT keys of a key head (see heads.wgsl), folded over x and y.
//           On a tile of 4·COLS rows each lane first takes 4 keys × 4 rows of w and g,
//           then the same 4 keys × 1 column of the results.
// Consts:   COLS, HEIGHT and others of heads.wgsl, which stands before and declares COUNT, THREADS, TILE, CELLS; products.wgsl or staged.wgsl; Elem, of elem1 or elem4

@group(0) @binding(0) var<storage, read_write> dk: array<Elem>;
@group(0) @binding(1) var<storage, read_write> dv: array<Elem>;
@group(0) @binding(2) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> q: array<Elem>;
@group(0) @binding(4) var<storage, read> k: array<Elem>;
@group(0) @binding(5) var<storage, read> v: array<Elem>;
@group(0) @binding(8) var<storage, read> dz: array<Elem>;

// cells holds w, then g, of 4 keys each, HEIGHT times TILE of them.
var<workgroup> cells: array<vec4<f32>, CELLS>;

// Products 0 are the scores, 1 the gradients of the weights, of keys (downwards) and rows (across).
fn down_value(which: u32, i: u32) -> Elem {
    if (which == 0u) {
        return k[i];
    }
    return v[i];
}

fn across_value(which: u32, i: u32) -> Elem {
    if (which == 0u) {
        return q[i];
    }
    return dz[i];
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
    let keys = min(own, vec4<u32>(p.keys - 1u));
    let places = keys_at(b, keys);
    let key_segments = segments_at(b, keys);
    let range = rows_for_keys(b);

    var k0 = Elem(0.0);
    var k1 = Elem(0.0);
    var k2 = Elem(0.0);
    var k3 = Elem(0.0);
    var v0 = Elem(0.0);
    var v1 = Elem(0.0);
    var v2 = Elem(0.0);
    var v3 = Elem(0.0);
    for (var start = range.x; start < range.y; start += TILE) {
        let rows = start + x + COLS * COUNT;
        let inside = min(rows, vec4<u32>(range.y - 1u));
        let heads = rows_at(b, inside);
        let pos = positions(inside);
        let segments = segments_at(b, pos);
        let s = products(0u, lane, places * COLS, heads * COLS);
        let dw = products(1u, lane, places * COLS, heads * COLS);
        let t0 = terms(s[0], dw[0], stats[heads.x], visible(keys, key_segments, vec4<u32>(pos.x), vec4<i32>(segments.x)));
        let t1 = terms(s[1], dw[1], stats[heads.y], visible(keys, key_segments, vec4<u32>(pos.y), vec4<i32>(segments.y)));
        let t2 = terms(s[2], dw[2], stats[heads.z], visible(keys, key_segments, vec4<u32>(pos.z), vec4<i32>(segments.z)));
        let t3 = terms(s[3], dw[3], stats[heads.w], visible(keys, key_segments, vec4<u32>(pos.w), vec4<i32>(segments.w)));
        let count = min(TILE, range.y - start);

        cells[y + x] = t0.w;
        cells[y + x + COLS] = t1.w;
        cells[y + x + 2u * COLS] = t2.w;
        cells[y + x + 3u * COLS] = t3.w;
        workgroupBarrier();
        var place = place_of(b, start);
        for (var j = 0u; j < count; j++) {
            let w = cells[y + j];
            let d = dz[place.at * COLS + x];
            v0 += w.x * d;
            v1 += w.y * d;
            v2 += w.z * d;
            v3 += w.w * d;
            place = next(place);
        }
        workgroupBarrier();
        cells[y + x] = t0.g;
        cells[y + x + COLS] = t1.g;
        cells[y + x + 2u * COLS] = t2.g;
        cells[y + x + 3u * COLS] = t3.g;
        workgroupBarrier();
        place = place_of(b, start);
        for (var j = 0u; j < count; j++) {
            let g = cells[y + j];
            let query = q[place.at * COLS + x];
            k0 += g.x * query;
            k1 += g.y * query;
            k2 += g.z * query;
            k3 += g.w * query;
            place = next(place);
        }
        workgroupBarrier();
    }
    put(own.x, places.x * COLS + x, k0, v0);
    put(own.y, places.y * COLS + x, k1, v1);
    put(own.z, places.z * COLS + x, k2, v2);
    put(own.w, places.w * COLS + x, k3, v3);
}

// A Place is where a row's head begins, in units of one head, and how many of its query's
// heads are left. Counting them saves a division for every row.
struct Place {
    at: u32,
    left: u32,
}

fn place_of(b: Block, row: u32) -> Place {
    return Place(rows_at(b, vec4<u32>(row)).x, share() - row % share());
}

fn next(place: Place) -> Place {
    if (place.left > 1u) {
        return Place(place.at + 1u, place.left - 1u);
    }
    return Place(place.at + 1u + (p.kv_heads - 1u) * share(), share());
}

// Terms are w and g of 4 keys and a row.
struct Terms {
    w: vec4<f32>,
    g: vec4<f32>,
}

fn terms(product: vec4<f32>, dw: vec4<f32>, row: vec2<f32>, sees: vec4<bool>) -> Terms {
    let s = cap(p.scale * product);
    let w = select(vec4<f32>(0.0), exp(min(s - row.x, vec4<f32>(0.0))), sees);
    return Terms(w, select(vec4<f32>(0.0), w * (dw - row.y) * cap_slope(s) * p.scale, sees));
}

fn put(key: u32, i: u32, k_sum: Elem, v_sum: Elem) {
    if (key >= p.keys) {
        return;
    }
    if (p.accumulate != 0u) {
        dk[i] += k_sum;
        dv[i] += v_sum;
    } else {
        dk[i] = k_sum;
        dv[i] = v_sum;
    }
}
