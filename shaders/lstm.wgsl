// One row of a long short-term memory, see tensor.LSTM.
//
// Formula:  before and after are the rows before and after row t in the order of time, or rows if there is none
//           forward   a = x[t] + w·h[before]; i, f, g, o = σ(aᵢ), σ(a_f), tanh(a_g), σ(a_o)
//                     c[t] = f·c[before] + i·g; h[t] = o·tanh(c[t])
//           backward  d = dh[t] + wᵀ·dx[after]; e = d·o·(1 − tanh²c[t]) + dc[after]; dc[t] = f·e
//                     dx[t] = e·g·i(1−i), e·c[before]·f(1−f), e·i·(1−g²), d·tanh(c[t])·o(1−o)
// Shapes:   h, c, dh, dc [rows, width]; gates, x, dx [rows, 4·width]; w [4·width, width]
// Bindings: forward 0 h, 1 c, 2 gates, 3 inputs (x), 4 w, 7 params; backward 0 dx, 1 dc, 2 dh, 3 c, 4 w, 5 gates, 7 params
// Grid:     one invocation per unit of the row
// Consts:   THREADS, the size of a workgroup

struct Params {
    rows: u32,
    width: u32,
    t: u32,
    before: u32,
    after: u32,
}

@group(0) @binding(0) var<storage, read_write> h: array<f32>;
@group(0) @binding(1) var<storage, read_write> c: array<f32>;
@group(0) @binding(2) var<storage, read_write> gates: array<f32>;
@group(0) @binding(3) var<storage, read> inputs: array<f32>;
@group(0) @binding(4) var<storage, read> w: array<f32>;
@group(0) @binding(7) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let j = (group.y * groups.x + group.x) * THREADS + lane;
    if (j >= p.width) {
        return;
    }
    let at = p.t * 4u * p.width + j;
    var a = vec4<f32>(inputs[at], inputs[at + p.width], inputs[at + 2u * p.width], inputs[at + 3u * p.width]);
    var earlier = 0.0;
    if (p.before < p.rows) {
        earlier = c[p.before * p.width + j];
        let gate = p.width * p.width;
        for (var k = 0u; k < p.width; k++) {
            let i = j * p.width + k;
            a += h[p.before * p.width + k] * vec4<f32>(w[i], w[i + gate], w[i + 2u * gate], w[i + 3u * gate]);
        }
    }
    let i = sigmoid(a.x);
    let f = sigmoid(a.y);
    let g = saturated_tanh(a.z);
    let o = sigmoid(a.w);
    let cell = f * earlier + i * g;
    c[p.t * p.width + j] = cell;
    h[p.t * p.width + j] = o * saturated_tanh(cell);
    gates[at] = i;
    gates[at + p.width] = f;
    gates[at + 2u * p.width] = g;
    gates[at + 3u * p.width] = o;
}

@group(0) @binding(0) var<storage, read_write> dx: array<f32>;
@group(0) @binding(1) var<storage, read_write> dc: array<f32>;
@group(0) @binding(2) var<storage, read> dh: array<f32>;
@group(0) @binding(3) var<storage, read> cells: array<f32>;
@group(0) @binding(5) var<storage, read> opened: array<f32>;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let j = (group.y * groups.x + group.x) * THREADS + lane;
    if (j >= p.width) {
        return;
    }
    var d = dh[p.t * p.width + j];
    var e = 0.0;
    if (p.after < p.rows) {
        e = dc[p.after * p.width + j];
        for (var row = 0u; row < 4u * p.width; row++) {
            d += dx[p.after * 4u * p.width + row] * w[row * p.width + j];
        }
    }
    var earlier = 0.0;
    if (p.before < p.rows) {
        earlier = cells[p.before * p.width + j];
    }
    let at = p.t * 4u * p.width + j;
    let i = opened[at];
    let f = opened[at + p.width];
    let g = opened[at + 2u * p.width];
    let o = opened[at + 3u * p.width];
    let tanh_c = saturated_tanh(cells[p.t * p.width + j]);
    e += d * o * (1.0 - tanh_c * tanh_c);
    dc[p.t * p.width + j] = f * e;
    dx[at] = e * g * i * (1.0 - i);
    dx[at + p.width] = e * earlier * f * (1.0 - f);
    dx[at + 2u * p.width] = e * i * (1.0 - g * g);
    dx[at + 3u * p.width] = d * tanh_c * o * (1.0 - o);
}

// Beyond these arguments exp(−x) and 1 − tanh(x) have vanished. Implementations may give
// NaN far beyond them.
fn sigmoid(v: f32) -> f32 {
    return 1.0 / (1.0 + exp(clamp(-v, -80.0, 80.0)));
}

fn saturated_tanh(v: f32) -> f32 {
    return tanh(clamp(v, -15.0, 15.0));
}
