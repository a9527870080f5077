// Copies rows of several sequences, see tensor.Copy.
//
// Formula:  dst[b·dst_stride + dst_first + i] = src[b·src_stride + src_first + i], i < count; with ADD, += that for b and the next ones,
//           of which there are sequences
// Shapes:   dst, src: elements; total = count times the b that are dispatched
// Bindings: 0 dst, 1 src, 2 params
// Grid:     one invocation per element, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup; ADD; Elem, f32 or vec4<f32>

struct Params {
    count: u32,
    total: u32,
    dst_stride: u32,
    dst_first: u32,
    src_stride: u32,
    src_first: u32,
    sequences: u32, // that an invocation adds up
}

@group(0) @binding(0) var<storage, read_write> dst: array<Elem>;
@group(0) @binding(1) var<storage, read> src: array<Elem>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(THREADS)
fn forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = (group.y * groups.x + group.x) * THREADS + lane;
    if (at >= p.total) { return; }
    let b = at / p.count;
    let i = at % p.count;
    let at_dst = b * p.dst_stride + p.dst_first + i;
    let at_src = b * p.src_stride + p.src_first + i;
    if (!ADD) {
        dst[at_dst] = src[at_src];
        return;
    }
    var sum = dst[at_dst];
    for (var s = 0u; s < p.sequences; s++) {
        sum += src[at_src + s * p.src_stride];
    }
    dst[at_dst] = sum;
}
