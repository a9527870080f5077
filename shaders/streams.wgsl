// Attention where a lane has rows or keys of its own: what its kernels have in common.
//
// Formula:  w = exp(s − lse) and g = w·(dw − d)·cap'·scale of four pairs that see each other, else 0,
//           of products q·k, from which s is made, and dw = dz·v
// Shapes:   those of attention.wgsl, attention_dq.wgsl and attention_dkv.wgsl
// Bindings: none; those of the three files come from the generator in gpu/attention_stream.go,
//           which unrolls what belongs to a lane
// Grid:     one workgroup of lanes per 4·HEIGHT rows or keys of a key head (see heads.wgsl), folded over x and y
// Consts:   none; heads.wgsl stands before

// No score is below LOW, and exp(MASKED − LOW) is 0. Both are finite, because a WGSL
// compiler may assume that there are no infinities.
const LOW: f32 = -1.0e37;
const MASKED: f32 = -2.0e38;

struct Terms {
    w: vec4<f32>,
    g: vec4<f32>,
}

fn terms(product: vec4<f32>, dw: vec4<f32>, lse: vec4<f32>, d: vec4<f32>, sees: vec4<bool>) -> Terms {
    let s = cap(p.scale * product);
    let w = select(vec4<f32>(0.0), exp(min(s - lse, vec4<f32>(0.0))), sees);
    return Terms(w, select(vec4<f32>(0.0), w * (dw - d) * cap_slope(s) * p.scale, sees));
}
