// The AdamW step, see tensor.AdamW.
//
// Formula:  g = clip[1]·grad
//           m = β1·m + (1−β1)·g
//           v = β2·v + (1−β2)·g²
//           param −= decay·param + step · m / (√v/root + eps)
//           decay = lr·weight decay, step = lr/(1−β1ᵗ), root = √(1−β2ᵗ)
// Shapes:   param, m, v, grad: n values; clip [2]
// Bindings: 0 param, 1 m, 2 v, 3 grad, 4 clip, 5 params
// Grid:     one invocation per four values, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

struct Params {
    n: u32,
    decay: f32,
    beta1: f32,
    beta2: f32,
    step: f32,
    root: f32,
    eps: f32,
    rest1: f32, // 1−β1
    rest2: f32, // 1−β2
}

@group(0) @binding(0) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> clip: array<f32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let q = (group.y * groups.x + group.x) * THREADS + lane;
    if (4u * q >= p.n) { return; }
    let g = clip[1] * grad[q];
    let m_next = p.beta1 * m[q] + p.rest1 * g;
    let v_next = p.beta2 * v[q] + p.rest2 * g * g;
    let next = param[q] - (p.decay * param[q] + p.step * m_next / (sqrt(v_next) / p.root + p.eps));
    let ours = min(p.n - 4u * q, 4u);
    if (ours == 4u) {
        param[q] = next;
        m[q] = m_next;
        v[q] = v_next;
        return;
    }
    // What lies behind the last value may be another tensor's.
    for (var i = 0u; i < ours; i++) {
        param[q][i] = next[i];
        m[q][i] = m_next[i];
        v[q][i] = v_next[i];
    }
}
