package gpu

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestReadShape(t *testing.T) {
	const source = `
// A comment with @compute fn nothing() {} in it, /* and */
/* another /* nested */ one: @group(0) @binding(7) var<storage> no: u32; */
const ROWS: u32 = 8u;
const SIZE = ROWS * (4u + 0x10u) - 2u; // 158
alias Cell = vec3f;
struct Item { a: f32, b: vec3<f32>, c: array<vec2u, 3>, }
struct Params { rows: u32, scale: f32, at: vec2<u32> }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@binding(1) @group(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage> other: array<u32>;
@group(0) @binding(2) var<storage, read_write> item: Item;
var<workgroup> tile: array<Cell, SIZE>;
var<workgroup> flag: atomic<u32>;
var<private> mine: array<f32, 4>;
fn helper(i: u32) -> f32 { mine[0] = 1.0; return x[i].x + inner(); }
fn inner() -> f32 { return f32(p.rows) + tile[0].x; }
@compute @workgroup_size(ROWS, 2) fn forward() { y[0] = helper(1u); }
@compute @workgroup_size(ROWS << 1u) fn backward() { item.a = f32(other[0]); atomicAdd(&flag, 1u); }
`
	bind := func(name string, index uint32, readOnly bool, size int64) storageVariable {
		return storageVariable{BindingInfo{Name: name, Index: index, ReadOnly: readOnly}, size}
	}
	tests := map[string]kernelShape{
		"forward": {
			storage: []storageVariable{bind("y", 1, false, 4), bind("x", 3, true, 16)},
			uniform: 0, paramsSize: 16, workgroup: [3]uint32{8, 2, 1}, memory: 158 * 16,
		},
		"backward": {
			storage: []storageVariable{bind("other", 1, true, 4), bind("item", 2, false, 64)},
			uniform: -1, workgroup: [3]uint32{16, 1, 1}, memory: 16,
		},
	}
	for entry, want := range tests {
		got, err := readShape(KernelSource{WGSL: source, Entry: entry})
		if err != nil {
			t.Fatalf("%s: %v", entry, err)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", entry, *got, want)
		}
	}
}

func TestReadShapeRefuses(t *testing.T) {
	const end = `@compute @workgroup_size(1) fn main() { x[0] = 1.0; }`
	const ok = `@group(0) @binding(0) var<storage, read_write> x: array<f32>; ` + end
	tests := map[string]struct{ source, want string }{
		"empty":             {"", "empty"},
		"only a comment":    {"// nothing", "empty"},
		"open comment":      {"/* /* */ " + ok, "without end"},
		"no entry":          {"fn other() {}", `no @compute function "main"`},
		"not compute":       {"fn main() {}", `no @compute function "main"`},
		"no size":           {"@compute fn main() {}", "@workgroup_size"},
		"size zero":         {"@compute @workgroup_size(0) fn main() {}", "@workgroup_size"},
		"size unknown":      {"@compute @workgroup_size(N) fn main() {}", "@workgroup_size"},
		"size in a circle":  {"const A = B; const B = A; @compute @workgroup_size(A) fn main() {}", "@workgroup_size"},
		"size by zero":      {"@compute @workgroup_size(4 / (2 - 2)) fn main() {}", "@workgroup_size"},
		"second group":      {`@group(1) @binding(0) var<storage, read_write> x: array<f32>; ` + end, "@group(0)"},
		"no binding":        {`@group(0) var<storage, read_write> x: array<f32>; ` + end, "@binding"},
		"texture":           {`@group(0) @binding(0) var x: texture_2d<f32>; ` + end, "address space"},
		"write-only":        {`@group(0) @binding(0) var<storage, write> x: array<f32>; ` + end, "read_write"},
		"same binding":      {`@group(0) @binding(0) var<storage> y: array<f32>; @group(0) @binding(0) var<storage, read_write> x: array<f32>; @compute @workgroup_size(1) fn main() { x[0] = y[0]; }`, "two variables with @binding(0)"},
		"two uniforms":      {`@group(0) @binding(0) var<uniform> x: f32; @group(0) @binding(1) var<uniform> y: f32; @compute @workgroup_size(1) fn main() { let z = x + y; }`, "second uniform"},
		"large uniform":     {`@group(0) @binding(0) var<uniform> x: array<vec4f, 17>; ` + end, "272 bytes"},
		"workgroup unclear": {`var<workgroup> x: Unknown; ` + end, "WorkgroupMemory"},
		"deep brackets":     {strings.Replace(ok, "1.0", strings.Repeat("(", 20000)+"1.0"+strings.Repeat(")", 20000), 1), "nested too deeply"},
		"deep blocks":       {strings.Replace(ok, "x[0]", strings.Repeat("{", 20000)+strings.Repeat("}", 20000)+"x[0]", 1), "nested too deeply"},
		"long sum":          {strings.Replace(ok, "1.0", "1.0"+strings.Repeat(" + f(1.0)", 20000), 1), "too long"},
		"long else":         {strings.Replace(ok, "x[0]", "if (a) {b;}"+strings.Repeat(" else if (a) {b;}", 20000)+"x[0]", 1), "too long"},
		"unbalanced":        {"}" + ok, "closes nothing"},
		"zero byte":         {ok + "\x00", "zero byte"},
		"huge":              {ok + strings.Repeat(" ", 1<<20), "at most"},
		"huge array":        {`var<workgroup> x: array<array<f32, 4294967295>, 4294967295>; ` + end, "WorkgroupMemory"},
		"alias in a circle": {`alias A = B; alias B = A; var<workgroup> x: A; ` + end, "WorkgroupMemory"},
	}
	for name, test := range tests {
		_, err := readShape(KernelSource{WGSL: test.source, Entry: "main"})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
	if _, err := readShape(KernelSource{WGSL: ok, Entry: "main"}); err != nil {
		t.Errorf("the base of these tests is refused: %v", err)
	}
	if _, err := readShape(KernelSource{WGSL: `var<workgroup> x: Unknown; ` + end, Entry: "main", WorkgroupMemory: 64}); err != nil {
		t.Errorf("a kernel with declared workgroup memory is refused: %v", err)
	}
}

func TestLayoutOf(t *testing.T) {
	// Sizes and alignments from the table in https://www.w3.org/TR/WGSL/#alignment-and-size.
	tests := map[string]layout{
		"f32": {4, 4}, "u32": {4, 4}, "f16": {2, 2}, "atomic<i32>": {4, 4},
		"vec2<f32>": {8, 8}, "vec3<u32>": {12, 16}, "vec4f": {16, 16}, "vec3h": {6, 8},
		"mat2x2<f32>": {16, 8}, "mat4x3f": {64, 16}, "mat3x4<f32>": {48, 16}, "mat2x3<f16>": {16, 8},
		"array<vec3<f32>, 2>": {32, 16}, "array<array<u32, 3>, 5u>": {60, 4},
	}
	m, err := parseModule("const N: u32 = 1u;")
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range tests {
		tokens, err := scan(kind)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := m.layoutOf(tokens, 0); !ok || got != want {
			t.Errorf("%s: %+v, %v, want %+v", kind, got, ok, want)
		}
	}
	for _, kind := range []string{"array<f32>", "texture_2d<f32>", "array<f32, M>", "vec", "vec9f", "vec4", "vec4<Other>", "mat4x4", "mat0x4f", ""} {
		tokens, _ := scan(kind)
		if got, ok := m.layoutOf(tokens, 0); ok {
			t.Errorf("%q has the layout %+v", kind, got)
		}
	}
}

func TestWithin(t *testing.T) {
	l := DefaultLimits()
	fits := kernelShape{storage: make([]storageVariable, 8), workgroup: [3]uint32{16, 16, 1}, memory: 16384}
	if err := fits.within(l); err != nil {
		t.Error(err)
	}
	over := kernelShape{storage: make([]storageVariable, 9), workgroup: [3]uint32{1, 4, 65}, memory: 16388}
	err := over.within(l)
	for _, want := range []string{"bindings: 9", "memory: 16388", "invocations in a workgroup: 260", "along z: 65"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Whatever the text, reading it must end and must not panic.
func FuzzReadShape(f *testing.F) {
	f.Add("@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>; const A = 2u * B; @compute @workgroup_size(A, 8) fn main() { x[0].x = 1.0; }")
	f.Add("struct S { a: array<mat2x3<f16>, 3>, } var<workgroup> s: S; @compute @workgroup_size(1) fn main() { s.a[0] = s.a[1]; }")
	f.Add("/* /* */ */ alias A = vec3f; var<workgroup> a: array<A, 1 << 3>; @compute @workgroup_size(1) fn main() { a = a; }")
	f.Fuzz(func(t *testing.T, source string) {
		s, err := readShape(KernelSource{WGSL: source, Entry: "main"})
		if err == nil && (s.memory < 0 || s.workgroup[0] == 0) {
			t.Errorf("shape %+v", s)
		}
		if errors.Is(err, ErrLost) {
			t.Errorf("error %v", err)
		}
	})
}
