// Geometry and masking rule of streaming attention, for the files named attention….
//
// Formula:  query i stands at key pos = first + i; it sees key j if j < prefix, or if j ≤ pos,
//           pos − j < window and, if segmented, segment[j] = segment[pos] ≥ 0
//           cap(x) = soft_cap·tanh(x/soft_cap) if soft_cap > 0, else x
// Shapes:   the queries of a key head are taken together: row = query·share + head, for
//           the query heads that share it
// Bindings: 6 segment, 7 params
// Grid:     one workgroup per block of rows (or of keys) of a key head of a sequence; blocks
//           are the fastest, then key heads, then sequences. Lanes stand COLS wide and HEIGHT high.
// Consts:   COLS, Elems in a head; HEIGHT; what the kernel is for: SHARE, the query heads for each key head, or 0
//           for any number; PLAIN, whether never for a prefix, window or soft cap; SEGMENTED, whether also for segments

struct Params {
    queries: u32,
    keys: u32,
    first: u32,
    prefix: u32,
    window: u32, // without one, more than keys
    kv_heads: u32,
    share: u32, // query heads for each key head
    segmented: u32,
    blocks: u32,
    start: u32, // the dispatch's workgroups are from start up to end
    end: u32,
    from_row: u32, // the rows whose gradients go into keys in this dispatch
    to_row: u32,
    accumulate: u32,
    scale: f32,
    soft_cap: f32,
    infinity: f32, // a compiler may refuse to write it
}

@group(0) @binding(6) var<storage, read> segment: array<i32>;
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = COLS * HEIGHT;
const TILE: u32 = 4u * COLS;       // keys or rows that are in work together
const CELLS: u32 = TILE * HEIGHT;
const COUNT: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// share is the number of query heads for each key head: dividing by a constant costs less.
fn share() -> u32 {
    if (SHARE > 0u) {
        return SHARE;
    }
    return p.share;
}

// A Block is the work of a workgroup: from a row or key on, of one key head.
struct Block {
    batch: u32,
    kv_head: u32,
    first: u32,
}

fn block_of(n: u32) -> Block {
    let head = n / p.blocks;
    return Block(head / p.kv_heads, head % p.kv_heads, n % p.blocks * 4u * HEIGHT);
}

// rows_at gives the places of rows in units of one head.
fn rows_at(b: Block, rows: vec4<u32>) -> vec4<u32> {
    return ((b.batch * p.queries + rows / share()) * p.kv_heads + b.kv_head) * share() + rows % share();
}

// keys_at gives the places of keys in units of one head.
fn keys_at(b: Block, keys: vec4<u32>) -> vec4<u32> {
    return (b.batch * p.keys + keys) * p.kv_heads + b.kv_head;
}

fn segments_at(b: Block, keys: vec4<u32>) -> vec4<i32> {
    if (!SEGMENTED || p.segmented == 0u) {
        return vec4<i32>(0);
    }
    let i = b.batch * p.keys + keys;
    return vec4<i32>(segment[i.x], segment[i.y], segment[i.z], segment[i.w]);
}

// positions gives the keys that rows stand at. Where there are more queries than keys,
// each sees all keys anyway.
fn positions(rows: vec4<u32>) -> vec4<u32> {
    return min(p.first + rows / share(), vec4<u32>(p.keys - 1u));
}

fn visible(keys: vec4<u32>, key_segments: vec4<i32>, pos: vec4<u32>, segments: vec4<i32>) -> vec4<bool> {
    var sees = keys <= pos;
    if (!PLAIN) {
        sees = sees & (pos - keys < vec4<u32>(p.window));
    }
    if (SEGMENTED && p.segmented != 0u) {
        sees = sees & (key_segments == segments) & (segments >= vec4<i32>(0));
    }
    if (!PLAIN) {
        sees = sees | (keys < vec4<u32>(p.prefix));
    }
    return sees;
}

fn cap(x: vec4<f32>) -> vec4<f32> {
    if (!PLAIN && p.soft_cap > 0.0) {
        // Some GPUs compute tanh from exp and overflow; beyond 15 it is 1 anyway.
        return p.soft_cap * tanh(clamp(x / p.soft_cap, vec4<f32>(-15.0), vec4<f32>(15.0)));
    }
    return x;
}

// cap_slope is the derivative of cap where its value is y.
fn cap_slope(y: vec4<f32>) -> vec4<f32> {
    if (!PLAIN && p.soft_cap > 0.0) {
        return 1.0 - (y / p.soft_cap) * (y / p.soft_cap);
    }
    return vec4<f32>(1.0);
}

// Tiles are the tiles of keys that a block of rows may see: count of them, of which those
// after the prefix's come skip tiles later.
struct Tiles {
    prefix: u32,
    skip: u32,
    count: u32,
    limit: u32, // the keys end here
}

fn tiles_for_rows(b: Block) -> Tiles {
    let rows = p.queries * share();
    let earliest = p.first + b.first / share();
    let latest = min(p.first + (min(b.first + 4u * HEIGHT, rows) - 1u) / share(), p.keys - 1u);
    let window_start = earliest + 1u - min(p.window, earliest + 1u);
    let prefix = (p.prefix + TILE - 1u) / TILE;
    let skip = max(window_start / TILE, prefix) - prefix;
    return Tiles(prefix, skip, max(latest / TILE + 1u - skip, prefix), max(latest + 1u, p.prefix));
}

fn tile_start(t: Tiles, n: u32) -> u32 {
    return TILE * (n + select(0u, t.skip, n >= t.prefix));
}

// rows_for_keys bounds the rows of this dispatch that may see the keys of a block.
fn rows_for_keys(b: Block) -> vec2<u32> {
    let last = min(b.first + 4u * HEIGHT, p.keys) - 1u;
    var low = max(b.first, p.first) - p.first;
    var high = min(p.queries, max(last + p.window, p.first) - p.first);
    if (b.first < p.prefix) {
        low = 0u;
        high = p.queries;
    }
    return vec2<u32>(max(low * share(), p.from_row), min(high * share(), p.to_row));
}
