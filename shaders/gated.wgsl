// The gated activation of the MLP, and the activation alone.
//
// Formula:  forward   out = a(gate)·up
//           backward  dgate = dout·up·a'(gate), dup = dout·a(gate)
//           a is one of tensor.Activation; the entry points named alone have no up and no dup
// Shapes:   out, gate, up, dgate, dup, dout: n Elems
// Bindings: forward 0 out, 3 gate, 4 up, 5 params; backward 0 dgate, 1 dup, 2 dout, 3 gate, 4 up, 5 params
// Grid:     one invocation per Elem, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup; ACT, which activation; Elem

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

@compute @workgroup_size(THREADS)
fn forward_alone(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i < p.n) {
        out[i] = activate(gate[i]).value;
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

@compute @workgroup_size(THREADS)
fn backward_alone(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * THREADS + lane;
    if (i < p.n) {
        dgate[i] = dout[i] * activate(gate[i]).slope;
    }
}

// tensor.Activation.
const SILU: u32 = 0u;
const GELU_TANH: u32 = 1u;
const GELU: u32 = 2u;
const RELU: u32 = 3u;
const LEAKY_RELU: u32 = 4u;
const SIGMOID: u32 = 5u;
const TANH: u32 = 6u;

struct Activated {
    value: Elem,
    slope: Elem,
}

// Beyond these arguments exp(−x) and 1 − tanh(x) have vanished. Implementations may give
// NaN far beyond them.
const EXP_END: f32 = 80.0;
const TANH_END: f32 = 15.0;

fn activate(g: Elem) -> Activated {
    if (ACT == SILU) {
        let s = sigmoid(g);
        return Activated(g * s, s * (1.0 + g * (1.0 - s)));
    }
    if (ACT == GELU_TANH) {
        let t = tanh(clamp(0.7978845608 * g * (1.0 + 0.044715 * g * g), Elem(-TANH_END), Elem(TANH_END)));
        let slope = 0.7978845608 * (1.0 + 0.134145 * g * g); // of tanh's argument
        return Activated(0.5 * g * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * g * (1.0 - t * t) * slope);
    }
    if (ACT == GELU) {
        let cdf = 0.5 + 0.5 * erf(g * 0.7071067812);
        return Activated(g * cdf, cdf + g * 0.3989422804 * exp(-min(0.5 * g * g, Elem(EXP_END))));
    }
    if (ACT == RELU || ACT == LEAKY_RELU) {
        let slope = select(Elem(select(0.0, 0.01, ACT == LEAKY_RELU)), Elem(1.0), g > Elem(0.0));
        return Activated(g * slope, slope);
    }
    if (ACT == SIGMOID) {
        let s = sigmoid(g);
        return Activated(s, s * (1.0 - s));
    }
    if (ACT == TANH) {
        let t = tanh(clamp(g, Elem(-TANH_END), Elem(TANH_END)));
        return Activated(t, 1.0 - t * t);
    }
    return Activated(g, Elem(1.0));
}

fn sigmoid(g: Elem) -> Elem {
    let e = exp(-min(abs(g), Elem(EXP_END)));
    return select(e, Elem(1.0), g >= Elem(0.0)) / (1.0 + e);
}

// erf is Abramowitz and Stegun's 7.1.26, within 2e-7.
fn erf(x: Elem) -> Elem {
    let a = abs(x);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(x) * (1.0 - poly * exp(-min(a * a, Elem(EXP_END))));
}
