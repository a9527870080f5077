// Sums and maxima where one lane has a row to itself: they are what it has.
//
// Formula:  sum_lanes = v, max_lanes = v
// Shapes:   v: one value per lane
// Bindings: none
// Grid:     one lane per row, workgroups folded over x and y
// Consts:   THREADS, the size of a workgroup

const TEAM: u32 = 1u; // lanes that share a row

fn row_of(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 { return (group.y * groups.x + group.x) * THREADS + lane; }

fn member(lane: u32) -> u32 { return 0u; }

fn sum_lanes(lane: u32, v: f32) -> f32 { return v; }

fn max_lanes(lane: u32, v: f32) -> f32 { return v; }
