// Cross-entropy of one part of the vocabulary.
//
// Formula:  v = soft_cap·tanh(logits/soft_cap) if soft_cap > 0, else logits
//           forward   stats[m] = {max v, Σ exp(v − max), v[target], argmax v}, over this
//                     part and those before it
//           backward  dlogits[m] = scale·(exp(v − max)/sum − 1{target})·(1 − (v/soft_cap)² or 1),
//                     in place; 0 where the target is negative
// Shapes:   logits, dlogits [M, cols] Elems; stats [M] vec4; targets [M]
// Bindings: forward 0 stats, 1 logits, 2 logits (as values), 3 targets, 4 params;
//           backward 0 dlogits, 1 stats, 3 targets, 4 params
// Grid:     that of reduce.wgsl, one workgroup per row, folded over x and y; or that of alone.wgsl
// Consts:   THREADS, and TEAM of reduce or alone, which stands before; Elem and LANES, of elem1 or elem4

struct Params {
    rows: u32,
    cols: u32,
    first: i32, // the vocabulary id of column 0
    soft_cap: f32,
    scale: f32,
}

const LOWEST: f32 = -3.0e38;
const NOWHERE: f32 = 3.0e38;

@group(0) @binding(0) var<storage, read_write> stats: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> logits: array<Elem>;
@group(0) @binding(2) var<storage, read> logit: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = row_of(group, groups, lane);
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    var tops = Elem(LOWEST);
    for (var c = member(lane); c < p.cols; c += TEAM) {
        tops = max(tops, logits[start + c]);
    }
    let top = max_lanes(lane, largest(tops));
    let highest = cap(Elem(top));
    var sums = Elem(0.0);
    var places = Elem(NOWHERE);
    for (var c = member(lane); c < p.cols; c += TEAM) {
        let x = logits[start + c];
        sums += exp(min(cap(x) - highest, Elem(0.0)));
        places = min(places, select(Elem(NOWHERE), numbers(c), x >= Elem(top)));
    }
    let sum = sum_lanes(lane, total(sums));
    let place = -max_lanes(lane, -smallest(places));
    if (member(lane) == 0u) {
        let part = vec4<f32>(largest(highest), sum, target_value(row), place + f32(p.first));
        if (p.first == 0) {
            stats[row] = part;
        } else {
            stats[row] = join(stats[row], part);
        }
    }
}

// target_value is the target's value if this part has it, else 0.
fn target_value(row: u32) -> f32 {
    let id = targets[row];
    if (id < p.first || id - p.first >= i32(p.cols * LANES)) {
        return 0.0;
    }
    return largest(cap(Elem(logit[row * p.cols * LANES + u32(id - p.first)])));
}

// join combines the statistics of the earlier parts and of this one.
fn join(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let top = max(a.x, b.x);
    return vec4<f32>(top, a.y * exp(a.x - top) + b.y * exp(b.x - top), a.z + b.z, select(a.w, b.w, b.x > a.x));
}

fn cap(v: Elem) -> Elem {
    if (p.soft_cap > 0.0) {
        // Some GPUs compute tanh from exp and overflow; beyond 15 it is 1 anyway.
        return p.soft_cap * tanh(clamp(v / p.soft_cap, Elem(-15.0), Elem(15.0)));
    }
    return v;
}

@group(0) @binding(0) var<storage, read_write> dlogits: array<Elem>; // the logits, at first
@group(0) @binding(1) var<storage, read> complete: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = row_of(group, groups, lane);
    if (row >= p.rows) {
        return;
    }
    let start = row * p.cols;
    let masked = Elem(f32(targets[row])) < Elem(0.0);
    let column = Elem(f32(targets[row] - p.first));
    let top = complete[row].x;
    let share = 1.0 / complete[row].y;
    for (var c = member(lane); c < p.cols; c += TEAM) {
        let v = cap(dlogits[start + c]);
        var d = exp(min(v - top, Elem(0.0))) * share - select(Elem(0.0), Elem(1.0), numbers(c) == column);
        if (p.soft_cap > 0.0) {
            d *= 1.0 - (v / p.soft_cap) * (v / p.soft_cap);
        }
        dlogits[start + c] = select(p.scale * d, Elem(0.0), masked);
    }
}
