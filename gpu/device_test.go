package gpu_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/gpu"
)

// openDevice opens a device for a test and closes it at its end. Without a GPU the
// test is skipped, unless GPUPEFT_REQUIRE_GPU=1 says that there must be one.
func openDevice(t testing.TB, c gpu.Config) *gpu.Device {
	t.Helper()
	d, err := gpu.OpenDevice(t.Context(), c)
	if errors.Is(err, gpu.ErrUnavailable) && os.Getenv("GPUPEFT_REQUIRE_GPU") != "1" {
		t.Skipf("needs a GPU, or Mesa's lavapipe: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil && !errors.Is(err, gpu.ErrLost) {
			t.Errorf("close: %v", err)
		}
		if live := d.Live(); live != "buffers 0, kernels 0, groups 0, fences 0" {
			t.Errorf("after Close there are still: %s", live)
		}
	})
	return d
}

func newBuffer(t testing.TB, d *gpu.Device, label string, size int64) *gpu.Buffer {
	t.Helper()
	b, err := d.NewBuffer(label, size)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func kernel(t testing.TB, d *gpu.Device, label, wgsl string) *gpu.Kernel {
	t.Helper()
	k, err := d.Kernel(gpu.KernelSource{Label: label, Entry: "main", WGSL: wgsl})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, kind error, texts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want one of kind %q", err, kind)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not mention %q", err, s)
		}
	}
}

// words are the bytes of 32-bit numbers as the GPU sees them.
func words(v ...uint32) []byte {
	var b []byte
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

func readWords(t testing.TB, d *gpu.Device, b *gpu.Buffer, offset, n int64) []uint32 {
	t.Helper()
	bytes := make([]byte, 4*n)
	must(t, d.Read(t.Context(), b, offset, bytes))
	list := make([]uint32, n)
	for i := range list {
		list[i] = binary.LittleEndian.Uint32(bytes[4*i:])
	}
	return list
}

// addKernel adds the uniform to each of the first n words.
const addKernel = `
struct Params { amount: u32, n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { if (id.x < p.n) { x[id.x] += p.amount; } }`

// copyKernel has an input that it only reads.
const copyKernel = `
@group(0) @binding(0) var<storage, read> from_: array<u32>;
@group(0) @binding(1) var<storage, read_write> to: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { if (id.x < arrayLength(&to)) { to[id.x] = from_[id.x]; } }`

// slowKernel keeps one invocation busy for steps iterations and counts them.
const slowKernel = `
struct Params { steps: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	var s = 0.0;
	for (var i = 0u; i < p.steps; i++) { s += sin(s + f32(i)) * cos(s); }
	x[id.x] = x[id.x] + 1.0 + s * 1e-30;
}`

func TestWriteRunRead(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	b := newBuffer(t, d, "x", 400)
	for i, v := range readWords(t, d, b, 0, 100) {
		if v != 0 {
			t.Fatalf("word %d of a new buffer is %d, want 0", i, v)
		}
	}
	must(t, d.Write(t.Context(), b, 8, words(7, 8, 9)))
	k := kernel(t, d, "add", addKernel)
	// 250 dispatches make three submissions; each must see the one before.
	var ds []gpu.Dispatch
	for i := range 250 {
		ds = append(ds, gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{b.All()}, Params: words(uint32(i), 50), Groups: [3]uint32{2, 1, 1}})
	}
	must(t, d.Run(t.Context(), ds...))
	got := readWords(t, d, b, 0, 100)
	for i, v := range got {
		want := uint32(0)
		if i < 50 {
			want = 249 * 250 / 2
		}
		if i >= 2 && i <= 4 {
			want += uint32(i) + 5
		}
		if v != want {
			t.Fatalf("word %d is %d, want %d", i, v, want)
		}
	}
}

func TestOffsetsAndSlices(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	from, to := newBuffer(t, d, "from", 1024), newBuffer(t, d, "to", 1024)
	var all []uint32
	for i := range 256 {
		all = append(all, uint32(i)+1)
	}
	must(t, d.Write(t.Context(), from, 0, words(all...)))
	k := kernel(t, d, "copy", copyKernel)
	must(t, d.Run(t.Context(), gpu.Dispatch{Kernel: k, Groups: [3]uint32{1, 1, 1}, Bindings: []gpu.Binding{from.Slice(256, 0), to.Slice(512, 64)}}))
	// The words around the 16 that are written guard against writes outside the binding.
	for i, v := range readWords(t, d, to, 0, 256) {
		want := uint32(0)
		if i >= 128 && i < 144 {
			want = uint32(i) - 128 + 64 + 1
		}
		if v != want {
			t.Fatalf("word %d is %d, want %d", i, v, want)
		}
	}
	if got := readWords(t, d, from, 1020, 1); got[0] != 256 {
		t.Errorf("last word is %d, want 256", got[0])
	}
}

func TestLargeTransfers(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	const size = 40<<20 + 4 // several pieces of writes and reads, and a rest
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 2654435761 >> 13)
	}
	b := newBuffer(t, d, "large", size)
	must(t, d.Write(t.Context(), b, 0, data))
	got := make([]byte, size)
	must(t, d.Read(t.Context(), b, 0, got))
	if string(got) != string(data) {
		t.Fatal("the bytes read are not those written")
	}
}

func TestMemory(t *testing.T) {
	d := openDevice(t, gpu.Config{MemoryLimit: 1000})
	a := newBuffer(t, d, "a", 600)
	_, err := d.NewBuffer("b", 404)
	wantError(t, err, gpu.ErrMemory, `"b"`, "600", "1000")
	b := newBuffer(t, d, "b", 400)
	if m := d.Memory(); m != (gpu.Memory{Bytes: 1000, Buffers: 2, Peak: 1000}) {
		t.Errorf("memory %+v", m)
	}
	must(t, a.Close())
	must(t, a.Close())
	if m := d.Memory(); m != (gpu.Memory{Bytes: 400, Buffers: 1, Peak: 1000}) {
		t.Errorf("memory after closing a: %+v", m)
	}
	must(t, b.Close())
}

// A buffer that is closed while dispatches that use it are under way stays alive
// for them.
func TestCloseBufferInUse(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	slow, cp := kernel(t, d, "slow", slowKernel), kernel(t, d, "copy", copyKernel)
	out := newBuffer(t, d, "out", 1<<16)
	for range 5 {
		x := newBuffer(t, d, "x", 1<<16)
		must(t, d.Run(t.Context(),
			gpu.Dispatch{Kernel: slow, Bindings: []gpu.Binding{x.All()}, Params: words(2000), Groups: [3]uint32{2048, 1, 1}, LoopSteps: 2000},
			gpu.Dispatch{Kernel: cp, Bindings: []gpu.Binding{x.All(), out.All()}, Groups: [3]uint32{256, 1, 1}}))
		must(t, x.Close())
		err := d.Write(t.Context(), x, 0, words(1))
		wantError(t, err, gpu.ErrClosed, `"x"`)
	}
	for i, v := range readWords(t, d, out, 0, 1<<14) {
		if math.Float32frombits(v) != 1 {
			t.Fatalf("word %d is %v, want 1", i, math.Float32frombits(v))
		}
	}
	if m := d.Memory(); m.Buffers != 1 {
		t.Errorf("%d buffers are alive, want 1", m.Buffers)
	}
}

func TestCancel(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k := kernel(t, d, "slow", slowKernel)
	x := newBuffer(t, d, "x", 4*8*65535)
	one := gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(30000), Groups: [3]uint32{300, 1, 1}, LoopSteps: 30000}
	must(t, d.Run(t.Context(), one))
	calls := map[string]func(context.Context) error{
		"Run": func(ctx context.Context) error {
			for {
				if err := d.Run(ctx, one); err != nil {
					return err
				}
			}
		},
		"Read":  func(ctx context.Context) error { return d.Read(ctx, x, 0, make([]byte, 64)) },
		"Sync":  d.Sync,
		"Write": func(ctx context.Context) error { <-ctx.Done(); return d.Write(ctx, x, 0, make([]byte, 64)) },
	}
	for _, name := range []string{"Run", "Read", "Sync", "Write"} {
		must(t, d.Run(t.Context(), one)) // something to wait for
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		err := calls[name](ctx)
		deadline, _ := ctx.Deadline()
		late := time.Since(deadline)
		cancel()
		wantError(t, err, context.DeadlineExceeded)
		if late > 100*time.Millisecond {
			t.Errorf("%s came back %v after its context ended", name, late)
		}
	}
	// The device is still good.
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := math.Float32frombits(readWords(t, d, x, 0, 1)[0])
	must(t, d.Run(t.Context(), one))
	if after := math.Float32frombits(readWords(t, d, x, 0, 1)[0]); after != before+1 {
		t.Errorf("after cancelled calls a dispatch gives %v, want %v", after, before+1)
	}
}

func TestTimings(t *testing.T) {
	d := openDevice(t, gpu.Config{Timing: true})
	k, slow := kernel(t, d, "quick", addKernel), kernel(t, d, "slow", slowKernel)
	x := newBuffer(t, d, "x", 4096)
	for range 3 {
		must(t, d.Run(t.Context(),
			gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 1), Groups: [3]uint32{1, 1, 1}},
			gpu.Dispatch{Kernel: slow, Bindings: []gpu.Binding{x.All()}, Params: words(40000), Groups: [3]uint32{128, 1, 1}, LoopSteps: 40000}))
	}
	d.SetTiming(false)
	must(t, d.Run(t.Context(), gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(1, 1), Groups: [3]uint32{1, 1, 1}}))
	must(t, d.Sync(t.Context()))
	list := d.Timings()
	if len(list) != 2 || list[0].Label != "slow" || list[1].Label != "quick" {
		t.Fatalf("timings %+v, want slow before quick", list)
	}
	for _, x := range list {
		if x.Calls != 2 || x.Total <= 0 { // the first call of each is not counted
			t.Errorf("timing %+v, want 2 calls", x)
		}
	}
}

func TestCloseDevice(t *testing.T) {
	d := openDevice(t, gpu.Config{})
	k := kernel(t, d, "slow", slowKernel)
	x := newBuffer(t, d, "x", 4*8*65535)
	one := gpu.Dispatch{Kernel: k, Bindings: []gpu.Binding{x.All()}, Params: words(30000), Groups: [3]uint32{200, 1, 1}, LoopSteps: 30000}
	must(t, d.Run(t.Context(), one, one))
	must(t, d.Write(t.Context(), x, 0, words(1)))
	must(t, d.Close()) // with work under way and a write that was never submitted
	must(t, d.Close())
	must(t, x.Close())
	_, err := d.NewBuffer("y", 4)
	wantError(t, err, gpu.ErrClosed)
	_, err = d.Kernel(gpu.KernelSource{WGSL: addKernel, Entry: "main"})
	wantError(t, err, gpu.ErrClosed)
	wantError(t, d.Run(t.Context(), one), gpu.ErrClosed)
	wantError(t, d.Write(t.Context(), x, 0, words(1)), gpu.ErrClosed)
	wantError(t, d.Read(t.Context(), x, 0, make([]byte, 4)), gpu.ErrClosed)
	wantError(t, d.Sync(t.Context()), gpu.ErrClosed)
	if m := d.Memory(); m.Bytes != 0 || m.Buffers != 0 {
		t.Errorf("memory of a closed device: %+v", m)
	}
}
