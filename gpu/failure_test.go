package gpu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
)

// Every misuse that the native library answers with an abort, a crash, silence or
// an untyped error must give an error of this package.
func TestMisuse(t *testing.T) {
	d, other := openDevice(t, gpu.Config{}), openDevice(t, gpu.Config{})
	l, ctx := d.Limits(), t.Context()
	add, cp, inOut := kernel(t, d, "add", addKernel), kernel(t, d, "copy", copyKernel), kernel(t, d, "inout", inOutKernel)
	x, y, foreign, gone := newBuffer(t, d, "x", 1024), newBuffer(t, d, "y", 1024), newBuffer(t, other, "z", 1024), newBuffer(t, d, "gone", 1024)
	must(t, gone.Close())

	buffer := func(size int64) error { _, err := d.NewBuffer("new", size); return err }
	run := func(change func(*gpu.Dispatch)) error {
		v := gpu.Dispatch{Kernel: add, Bindings: []gpu.Binding{x.All()}, Params: words(1, 1), Groups: [3]uint32{1, 1, 1}}
		change(&v)
		return d.Run(ctx, gpu.Dispatch{Kernel: cp, Bindings: []gpu.Binding{x.All(), y.All()}, Groups: [3]uint32{1, 1, 1}}, v)
	}
	bind := func(k *gpu.Kernel, b ...gpu.Binding) error {
		return run(func(v *gpu.Dispatch) {
			v.Kernel, v.Bindings = k, b
			if k != add {
				v.Params = nil
			}
		})
	}
	params := func(n int) error { return run(func(v *gpu.Dispatch) { v.Params = make([]byte, n) }) }

	tests := []struct {
		name string
		err  error
		kind error
		text string
	}{
		{"buffer of no bytes", buffer(0), gpu.ErrArgument, "positive"},
		{"buffer of negative size", buffer(-4), gpu.ErrArgument, "positive"},
		{"buffer of odd size", buffer(5), gpu.ErrArgument, "multiple of 4"},
		{"buffer beyond the limit", buffer(l.BufferSize/4*4 + 4), gpu.ErrLimit, "limit"},

		{"write of 3 bytes", d.Write(ctx, x, 0, make([]byte, 3)), gpu.ErrArgument, "multiples of 4"},
		{"write at odd offset", d.Write(ctx, x, 2, make([]byte, 4)), gpu.ErrArgument, "multiples of 4"},
		{"write beyond the end", d.Write(ctx, x, 1020, make([]byte, 8)), gpu.ErrArgument, "1020 to 1028 of 1024"},
		{"write before the start", d.Write(ctx, x, -4, make([]byte, 8)), gpu.ErrArgument, "-4"},
		{"write past the end by far", d.Write(ctx, x, 1<<62, make([]byte, 8)), gpu.ErrArgument, "of 1024"},
		{"write to nil", d.Write(ctx, nil, 0, make([]byte, 8)), gpu.ErrArgument, "no buffer"},
		{"write to a closed buffer", d.Write(ctx, gone, 0, make([]byte, 8)), gpu.ErrClosed, `"gone"`},
		{"write to a foreign buffer", d.Write(ctx, foreign, 0, make([]byte, 8)), gpu.ErrArgument, "another device"},
		{"read beyond the end", d.Read(ctx, x, 1024, make([]byte, 4)), gpu.ErrArgument, "of 1024"},
		{"read of 3 bytes", d.Read(ctx, x, 0, make([]byte, 3)), gpu.ErrArgument, "multiples of 4"},
		{"read of a closed buffer", d.Read(ctx, gone, 0, make([]byte, 8)), gpu.ErrClosed, `"gone"`},
		{"read of nil", d.Read(ctx, nil, 0, nil), gpu.ErrArgument, "no buffer"},

		{"no kernel", run(func(v *gpu.Dispatch) { v.Kernel = nil }), gpu.ErrArgument, "dispatch 1: "},
		{"kernel of another device", bind(kernel(t, other, "add", addKernel), foreign.All()), gpu.ErrArgument, "another device"},
		{"too many bindings", bind(add, x.All(), y.All()), gpu.ErrArgument, "2 bindings, it has 1"},
		{"no bindings", bind(add), gpu.ErrArgument, "0 bindings, it has 1"},
		{"binding without buffer", bind(add, gpu.Binding{}), gpu.ErrArgument, "no buffer"},
		{"binding of a closed buffer", bind(add, gone.All()), gpu.ErrClosed, `"gone"`},
		{"binding of a foreign buffer", bind(add, foreign.All()), gpu.ErrArgument, "another device"},
		{"binding at odd offset", bind(add, x.Slice(128, 0)), gpu.ErrArgument, "not a multiple of 256"},
		{"binding of odd size", bind(add, x.Slice(0, 6)), gpu.ErrArgument, "not a multiple of 4"},
		{"binding beyond the end", bind(add, x.Slice(256, 1024)), gpu.ErrArgument, "1024 bytes"},
		{"binding at the end", bind(add, x.Slice(1024, 0)), gpu.ErrArgument, "1024 bytes"},
		{"binding before the start", bind(add, x.Slice(-256, 4)), gpu.ErrArgument, "offset -256"},
		{"binding of negative size", bind(add, x.Slice(0, -4)), gpu.ErrArgument, "size -4"},
		{"binding smaller than the type", bind(inOut, x.Slice(0, 4), y.All()), gpu.ErrArgument, "needs 16"},
		{"read and written", bind(cp, x.Slice(0, 256), x.Slice(512, 256)), gpu.ErrArgument, `to read "from_" and to write "to"`},

		{"no params", params(0), gpu.ErrArgument, "no params"},
		{"params too short", params(4), gpu.ErrArgument, "has 8"},
		{"params too long", params(32), gpu.ErrArgument, "has 8"},
		{"params far too long", params(260), gpu.ErrArgument, "at most 256"},
		{"params for none", run(func(v *gpu.Dispatch) { v.Kernel, v.Bindings = cp, []gpu.Binding{x.All(), y.All()} }), gpu.ErrArgument, "no uniform"},
		{"too many workgroups", run(func(v *gpu.Dispatch) { v.Groups = [3]uint32{1, l.WorkgroupsPerDim + 1, 1} }), gpu.ErrLimit, "65535"},
		{"too many loop steps", run(func(v *gpu.Dispatch) { v.LoopSteps = 70000 }), gpu.ErrLimit, "60000"},
		{"negative cost", run(func(v *gpu.Dispatch) { v.Cost = -1 }), gpu.ErrArgument, "cost"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.err, test.kind, test.text) })
	}
	// Nothing of all this was run, and the device still works.
	if n := d.Submissions(); n != 0 {
		t.Errorf("%d submissions were made", n)
	}
	must(t, bind(add, x.All()))
	if got := readWords(t, d, x, 0, 2); got[0] != 1 || got[1] != 0 {
		t.Errorf("a good dispatch after all the bad ones gives %v, want [1 0]", got)
	}
}

// inOutKernel has two writable bindings of vectors.
const inOutKernel = `
@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@compute @workgroup_size(1) fn main() { y[0] = x[0] + vec4<f32>(1.0); }`

func TestSameBufferWrittenTwice(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	x, k := newBuffer(t, d, "x", 512), kernel(t, d, "inout", inOutKernel)
	must(t, d.Run(t.Context(), gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.Slice(0, 256), x.Slice(256, 256)}, Groups: [3]uint32{1, 1, 1}}))
	if got := readWords(t, d, x, 252, 3); got[0] != 0 || got[1] != 0x3f800000 {
		t.Errorf("words around offset 256: %x", got)
	}
}

func TestKernelRefused(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	const decl = "@group(0) @binding(0) var<storage, read_write> x: array<f32>;\n"
	body := func(attributes, text string) string {
		return decl + "@compute @workgroup_size(" + attributes + ")\nfn main() {\n" + text + "\n}"
	}
	many := ""
	for i := range d.Limits().StorageBuffers + 1 {
		many += fmt.Sprintf("@group(0) @binding(%d) var<storage, read_write> x%d: array<f32>;\n", i, i)
	}
	tests := []struct {
		name, wgsl string
		kind       error
		texts      []string
	}{
		{"syntax", body("1", "x[0] = ;"), gpu.ErrKernel, []string{`"test"`, "wgsl:4:8", "^"}},
		{"type", body("1", "x[0] = 1u;"), gpu.ErrKernel, []string{":4:", "^"}},
		{"unknown name", body("1", "x[0] = nowhere;"), gpu.ErrKernel, []string{"nowhere", "^"}},
		{"enable", "enable f16;\n" + body("1", "x[0] = 1.0;"), gpu.ErrKernel, []string{"enable"}},
		{"override", "override n = 1u;\n" + body("1", "x[0] = 1.0;"), gpu.ErrKernel, nil},
		{"empty", "", gpu.ErrKernel, []string{"empty"}},
		{"zero byte", body("1", "x[0] = 1.0;") + "\x00}", gpu.ErrKernel, []string{"zero byte"}},
		{"no entry", decl + "@compute @workgroup_size(1) fn other() { x[0] = 1.0; }", gpu.ErrKernel, []string{`"main"`, `["other"]`}},
		{"brackets", body("1", "x[0] = "+strings.Repeat("(", 20000)+"1.0"+strings.Repeat(")", 20000)+";"), gpu.ErrKernel, []string{"nested"}},
		{"workgroup size", body("4096", "x[0] = 1.0;"), gpu.ErrLimit, []string{"4096"}},
		{"workgroup memory", "var<workgroup> m: array<f32, 100000>;\n" + body("1", "x[0] = m[0];"), gpu.ErrLimit, []string{"400000"}},
		{"bindings", many + "@compute @workgroup_size(1) fn main() { x0[0] = " + sum(int(d.Limits().StorageBuffers)+1) + "; }", gpu.ErrLimit, []string{"storage bindings"}},
		{"write to read", strings.Replace(body("1", "x[0] = 1.0;"), "read_write", "read", 1), gpu.ErrKernel, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := d.Kernel(gpu.KernelSource{Label: "test", WGSL: test.wgsl, Entry: "main"})
			wantError(t, err, test.kind, test.texts...)
		})
	}
	a, b := kernel(t, d, "a", addKernel), kernel(t, d, "b", addKernel)
	if a != b {
		t.Error("the same source was compiled twice")
	}
}

func sum(n int) string {
	var terms []string
	for i := range n {
		terms = append(terms, fmt.Sprintf("x%d[0]", i))
	}
	return strings.Join(terms, " + ")
}

// Two entry points of one module may use the same binding for different variables.
func TestEntryPointsShareBindings(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	const module = `
@group(0) @binding(0) var<storage, read> in: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(0) var<uniform> amount: u32;
@group(0) @binding(1) var<storage, read> back: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> sum: array<u32>;
@compute @workgroup_size(1) fn forward() { out[0] = in[0] + 1u; }
@compute @workgroup_size(1) fn backward() { sum[0] += back[0].x + amount; }`
	x, y := newBuffer(t, d, "x", 64), newBuffer(t, d, "y", 64)
	forward, err := d.Kernel(gpu.KernelSource{WGSL: module, Entry: "forward"})
	must(t, err)
	backward, err := d.Kernel(gpu.KernelSource{WGSL: module, Entry: "backward"})
	must(t, err)
	if got := fmt.Sprint(backward.Bindings()); got != "[{back 1 true} {sum 2 false}]" {
		t.Errorf("bindings of backward: %s", got)
	}
	must(t, d.Run(t.Context(),
		gpu.Dispatch{Kernel: forward, Bindings: []gpu.Binding{x.All(), y.All()}, Groups: [3]uint32{1, 1, 1}},
		gpu.Dispatch{Kernel: backward, Bindings: []gpu.Binding{y.All(), x.All()}, Params: words(10), Groups: [3]uint32{1, 1, 1}}))
	if got := readWords(t, d, x, 0, 1)[0]; got != 11 {
		t.Errorf("result %d, want 11", got)
	}
}

func TestLoweredLimits(t *testing.T) {
	low := gpu.DefaultLimits()
	low.BufferSize, low.BindingSize, low.WorkgroupsPerDim = 1<<20, 1<<18, 1000
	d := openDevice(t, gpu.Config{Limits: &low})
	if got := d.Limits(); got != low {
		t.Errorf("limits %+v, want %+v", got, low)
	}
	_, err := d.NewBuffer("x", 1<<20+4)
	wantError(t, err, gpu.ErrLimit, "1048576")
	x, k := newBuffer(t, d, "x", 1<<20), kernel(t, d, "add", addKernel)
	one := gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 1<<16), Groups: [3]uint32{1000, 1, 1}}
	wantError(t, d.Run(t.Context(), one), gpu.ErrLimit, "262144")
	one.Bindings[0] = x.Slice(1<<18, 1<<18)
	must(t, d.Run(t.Context(), one))
	if got := readWords(t, d, x, 1<<18-4, 2); got[0] != 0 || got[1] != 1 {
		t.Errorf("words at the start of the slice: %v", got)
	}
	one.Groups[0]++
	wantError(t, d.Run(t.Context(), one), gpu.ErrLimit, "1000")

	high := gpu.Limits{StorageBuffers: 1 << 30, BindingSize: -1}
	_, err = gpu.OpenDevice(t.Context(), gpu.Config{Limits: &high})
	wantError(t, err, gpu.ErrLimit, "StorageBuffers", "BindingSize")
}

// A shader that writes out of bounds must not reach memory outside its binding.
func TestOutOfBoundsShader(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	x := newBuffer(t, d, "x", 3*1024)
	var poison []uint32
	for range 3 * 256 {
		poison = append(poison, 0xdeadbeef)
	}
	must(t, d.Write(t.Context(), x, 0, words(poison...)))
	k := kernel(t, d, "wild", `
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x * 100u] = 1u; x[id.x * 4000000u + 256u] = 2u; x[0u - id.x] = 3u; }`)
	must(t, d.Run(t.Context(), gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.Slice(1024, 1024)}, Groups: [3]uint32{100, 1, 1}}))
	for i, v := range readWords(t, d, x, 0, 3*256) {
		if (i < 256 || i >= 512) && v != 0xdeadbeef {
			t.Fatalf("word %d outside the binding was changed to %#x", i, v)
		}
	}
}
