// The step of gradient descent with momentum, see tensor.SGD.
//
// Formula:  m = momentum·m + clip[1]·grad + decay·param
//           param = param − lr·m
// Shapes:   param, m, grad: n values; clip [2]
// Bindings: 0 param, 1 m, 2 grad, 3 clip, 4 params
// Grid:     one invocation per four values, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

struct Params {
    n: u32,
    lr: f32,
    momentum: f32,
    decay: f32,
}

@group(0) @binding(0) var<storage, read_write> param: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> clip: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let q = (group.y * groups.x + group.x) * THREADS + lane;
    if (4u * q >= p.n) { return; }
    let m_next = p.momentum * m[q] + clip[1] * grad[q] + p.decay * param[q];
    let next = param[q] - p.lr * m_next;
    let ours = min(p.n - 4u * q, 4u);
    if (ours == 4u) {
        param[q] = next;
        m[q] = m_next;
        return;
    }
    // What lies behind the last value may be another tensor's.
    for (var i = 0u; i < ours; i++) {
        param[q][i] = next[i];
        m[q][i] = m_next[i];
    }
}
