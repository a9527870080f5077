// Sums and maxima over the lanes of a workgroup, which share a row.
//
// Formula:  sum_lanes = Σ v, max_lanes = max v; all lanes must call, all get the result
// Shapes:   v: one value per lane
// Bindings: none
// Grid:     none
// Consts:   THREADS, the size of a workgroup, a power of two

const TEAM: u32 = THREADS; // lanes that share a row

fn row_of(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 { return group.y * groups.x + group.x; }

// member is the number of a lane among those that share its row.
fn member(lane: u32) -> u32 { return lane; }

var<workgroup> reduced: array<f32, THREADS>;

fn sum_lanes(lane: u32, v: f32) -> f32 {
    reduced[lane] = v;
    for (var n = THREADS / 2u; n > 0u; n = n / 2u) {
        workgroupBarrier();
        if (lane < n) {
            reduced[lane] += reduced[lane + n];
        }
    }
    return first_lane();
}

fn max_lanes(lane: u32, v: f32) -> f32 {
    reduced[lane] = v;
    for (var n = THREADS / 2u; n > 0u; n = n / 2u) {
        workgroupBarrier();
        if (lane < n) {
            reduced[lane] = max(reduced[lane], reduced[lane + n]);
        }
    }
    return first_lane();
}

fn first_lane() -> f32 {
    workgroupBarrier();
    let v = reduced[0];
    workgroupBarrier(); // before reduced is used again
    return v;
}

