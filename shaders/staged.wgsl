// The products of attention's tiles, for which the workgroup brings a part of all heads into its memory.
//
// Formula:  that of products.wgsl
// Shapes:   that of products.wgsl; COLS is a multiple of STAGE
// Bindings: those of down_value and across_value, which the kernel declares
// Grid:     that of the kernel; all lanes must call
// Consts:   COLS, HEIGHT and others of heads.wgsl, which stands before and declares TILE, THREADS; Elem, of elem4

const STAGE: u32 = 4u;                // Elems of a head at a time
const DOWN: u32 = 4u * HEIGHT;        // items downwards
const DOWN_ROW: u32 = DOWN + 2u;      // two more, so that lanes that write
const ACROSS_ROW: u32 = TILE + 2u;    // don't meet in one bank
const DOWN_PART: u32 = STAGE * DOWN_ROW;
const ACROSS_PART: u32 = STAGE * ACROSS_ROW;

var<workgroup> down_places: array<u32, DOWN>;
var<workgroup> across_places: array<u32, TILE>;
var<workgroup> down_part: array<vec4<f32>, DOWN_PART>;
var<workgroup> across_part: array<vec4<f32>, ACROSS_PART>;

fn products(which: u32, lane: u32, down: vec4<u32>, across: vec4<u32>) -> mat4x4<f32> {
    let x = lane % COLS;
    let y = lane / COLS;
    if (y == 0u) {
        across_places[x] = across.x;
        across_places[x + COLS] = across.y;
        across_places[x + 2u * COLS] = across.z;
        across_places[x + 3u * COLS] = across.w;
    }
    if (x == 0u) {
        down_places[4u * y] = down.x;
        down_places[4u * y + 1u] = down.y;
        down_places[4u * y + 2u] = down.z;
        down_places[4u * y + 3u] = down.w;
    }
    workgroupBarrier();
    var s = mat4x4<f32>();
    for (var c = 0u; c < COLS; c += STAGE) {
        for (var i = lane; i < STAGE * TILE; i += THREADS) {
            across_part[i % STAGE * ACROSS_ROW + i / STAGE] = across_value(which, across_places[i / STAGE] + c + i % STAGE);
        }
        for (var i = lane; i < STAGE * DOWN; i += THREADS) {
            down_part[i % STAGE * DOWN_ROW + i / STAGE] = down_value(which, down_places[i / STAGE] + c + i % STAGE);
        }
        workgroupBarrier();
        for (var e = 0u; e < STAGE; e++) {
            let at = e * DOWN_ROW + 4u * y;
            let d = Quad(down_part[at], down_part[at + 1u], down_part[at + 2u], down_part[at + 3u]);
            let a = e * ACROSS_ROW + x;
            s[0] += across_part[a] * d;
            s[1] += across_part[a + COLS] * d;
            s[2] += across_part[a + 2u * COLS] * d;
            s[3] += across_part[a + 3u * COLS] * d;
        }
        workgroupBarrier();
    }
    return s;
}
