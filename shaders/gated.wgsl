// The gated activation of the MLP.
//
// Formula:  a(g) = g·σ(g), or if GELU, g/2·(1 + tanh u) with u = √(2/π)·(g + 0.044715·g³)
//           forward   out = a(gate)·up
//           backward  dgate = dout·up·a'(gate), dup = dout·a(gate)
// Shapes:   out, gate, up, dgate, dup, dout: n Elems
// Bindings: forward 0 out, 3 gate, 4 up, 5 params; backward 0 dgate, 1 dup, 2 dout, 3 gate, 4 up, 5 params
// Grid:     one invocation per Elem, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup; GELU, which activation; Elem

struct Params {
    n: u32,
}

@group(0) @binding(0) var<storage, read_write> out: array<Elem>;
@group(0) @binding(3) var<storage, read> gate: array<Elem>;
@group(0) @binding(4) var<storage, read> up: array<Elem>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i < p.n) {
        out[i] = activate(gate[i]).value * up[i];
    }
}

@group(0) @binding(0) var<storage, read_write> dgate: array<Elem>;
@group(0) @binding(1) var<storage, read_write> dup: array<Elem>;
@group(0) @binding(2) var<storage, read> dout: array<Elem>;

@compute @workgroup_size(THREADS)
fn backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i < p.n) {
        let a = activate(gate[i]);
        let d = dout[i];
        dgate[i] = d * up[i] * a.slope;
        dup[i] = d * a.value;
    }
}

struct Activated {
    value: Elem,
    slope: Elem,
}

// Beyond these arguments exp(−x) and 1 − tanh(x) have vanished. Implementations may give
// NaN far beyond them.
const EXP_END: f32 = 80.0;
const TANH_END: f32 = 15.0;

fn activate(g: Elem) -> Activated {
    if (GELU) {
        let u = clamp(0.7978845608 * g * (1.0 + 0.044715 * g * g), Elem(-TANH_END), Elem(TANH_END));
        let t = tanh(u);
        let slope = 0.7978845608 * (1.0 + 0.134145 * g * g); // of u
        return Activated(0.5 * g * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * g * (1.0 - t * t) * slope);
    }
    let e = exp(-min(abs(g), Elem(EXP_END)));
    let sigmoid = select(e, Elem(1.0), g >= Elem(0.0)) / (1.0 + e);
    return Activated(g * sigmoid, sigmoid * (1.0 + g * (1.0 - sigmoid)));
}
