//go:build unix

package gpu

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// geometries are the shared kernels that are tried on a GPU.
func geometries() []geometry {
	var all []geometry
	shapes := []geometry{
		{rows: 8, cols: 8, lanesM: 16, lanesN: 16},
		{rows: 8, cols: 8, lanesM: 16, lanesN: 8},
		{rows: 8, cols: 8, lanesM: 8, lanesN: 8},
		{rows: 8, cols: 16, lanesM: 16, lanesN: 8},
		{rows: 16, cols: 8, lanesM: 8, lanesN: 16},
		{rows: 4, cols: 8, lanesM: 16, lanesN: 8},
	}
	for _, s := range shapes {
		for _, depth := range []int{8, 16, 32} {
			for _, mode := range []sharing{
				{},
				{swizzle: true, square: true},
				{swizzle: true, square: true, fused: true},
				{swizzle: true, square: true, fused: true, ahead: true},
				{swizzle: true, square: true, ahead: true, twice: true},
				{swizzle: true, square: true, fused: true, ahead: true, twice: true},
				{square: true, fused: true, ahead: true, twice: true},
				{swizzle: true, fused: true, ahead: true, twice: true},
			} {
				for _, unroll := range []int{4, min(depth, 16)} {
					g := s
					g.sharing = mode
					g.depth, g.unroll = depth, unroll
					all = append(all, g)
				}
			}
		}
	}
	return all
}

func (g geometry) String() string {
	text := fmt.Sprintf("%dx%d/%dx%d/k%d/u%d", g.rows*g.lanesM, g.cols*g.lanesN, g.rows, g.cols, g.depth, g.unroll)
	for _, f := range []struct {
		on   bool
		name string
	}{{g.swizzle, "swz"}, {g.square, "sq"}, {g.fused, "fma"}, {g.ahead, "ahead"}, {g.twice, "twice"}} {
		if f.on {
			text += "/" + f.name
		}
	}
	return text
}

// used are the geometries of the tables, and one with two copies of its blocks.
func used() []geometry {
	var all []geometry
	for _, c := range append(slices.Clone(fastShared), plainShared...) {
		if !slices.Contains(all, c.geometry) {
			all = append(all, c.geometry)
		}
	}
	return append(all, geometry{
		rows: 4, cols: 8, lanesM: 16, lanesN: 8,
		sharing: sharing{depth: 8, unroll: 4, ahead: true, twice: true, swizzle: true, square: true, fused: true},
	})
}

// TestGeometries: every geometry gives right products, with edges in all dimensions. With
// GPUPEFT_SWEEP set, this is for all those that are tried on a GPU.
func TestGeometries(t *testing.T) {
	b := openTuned(t, Config{Tiles: TilesShared}, func(*tuning) {})
	oracle := tensor.NewFloat64()
	t.Cleanup(func() { _ = oracle.Close() })
	shapes := []([3]int){{129, 160, 132}, {40, 67, 77}}
	all := used()
	if os.Getenv("GPUPEFT_SWEEP") != "" {
		all = geometries()
	}
	for i, g := range all {
		if !g.fits(b.limits) {
			continue
		}
		b.tune.shared = []choice{{geometry: g}}
		dt := []tensor.DType{tensor.F32, tensor.Q4_0, tensor.F16}[i%3]
		s := shapes[0]
		if dt == tensor.F32 {
			s = shapes[i/3%2]
		}
		t.Run(fmt.Sprintf("%v/%v", g, dt), func(t *testing.T) {
			for form := range 3 {
				if form == 2 && dt != tensor.F32 {
					continue
				}
				got, want := sweepOnce(t, b, form, dt, s), sweepOnce(t, oracle, form, dt, s)
				if e := optest.NMSE(got, want); !(e <= optest.Tolerance) {
					t.Errorf("form %v: NMSE %.3g", form, e)
				}
			}
		})
	}
}

// sweepOnce computes one product of random values on a backend.
func sweepOnce(t testing.TB, b tensor.Backend, kind int, dt tensor.DType, s [3]int) []float64 {
	t.Helper()
	o, out, done := sweepOp(t, b, kind, dt, s, true)
	defer done()
	if err := b.Run(t.Context(), []tensor.Op{o}); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, out.Len())
	if err := tensor.ReadFloats(t.Context(), b, out, got); err != nil {
		t.Fatal(err)
	}
	values := make([]float64, len(got))
	for i, v := range got {
		values[i] = float64(v)
	}
	return values
}

// sweepOp makes a product of n tokens, i inputs and o outputs.
func sweepOp(t testing.TB, b tensor.Backend, kind int, dt tensor.DType, s [3]int, random bool) (tensor.Op, *tensor.Tensor, func()) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var made []*tensor.Tensor
	matrix := func(dt tensor.DType, rows, cols int) *tensor.Tensor {
		x, err := b.New("x", dt, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, x)
		values := make([]float32, cols)
		data := make([]byte, 0, x.Bytes())
		for r := range rows {
			if !random && r >= 64 {
				size := len(data) / r
				data = append(data, data[(r-64)*size:][:size]...)
				continue
			}
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
			data = append(data, tensor.Pack(nil, dt, values)...)
		}
		if err := b.Write(t.Context(), x, data); err != nil {
			t.Fatal(err)
		}
		return x
	}
	done := func() {
		for _, x := range made {
			_ = x.Close()
		}
	}
	n, i, o := s[0], s[1], s[2]
	x, y, w := matrix(tensor.F32, n, i), matrix(tensor.F32, n, o), matrix(dt, o, i)
	switch kind {
	case 0:
		return tensor.MatMul{Out: y, X: x, W: w}, y, done
	case 1:
		return tensor.MatMulDX{DX: x, DOut: y, W: w}, x, done
	}
	return tensor.MatMulDW{DW: w, DOut: y, X: x}, w, done
}

// TestSweep times geometries: every one of GPUPEFT_SWEEP=first on a large product, those
// whose names GPUPEFT_SWEEP_BEST lists on other products. GPUPEFT_SWEEP_SHARD=I/N does
// every Nth geometry: several processes compile at once, and take turns with the GPU.
func TestSweep(t *testing.T) {
	stage := os.Getenv("GPUPEFT_SWEEP")
	if stage == "" {
		t.Skip("GPUPEFT_SWEEP is not set")
	}
	n := 4096
	if text := os.Getenv("GPUPEFT_SWEEP_N"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	b := openTuned(t, Config{Tiles: TilesShared}, func(u *tuning) { u.dispatchFlops = 1e12 })
	if stage == "first" {
		sweep(t, b, shard(t, geometries()), 0, tensor.F32, [3]int{n, n, n})
		return
	}
	best := strings.Fields(os.Getenv("GPUPEFT_SWEEP_BEST"))
	list := slices.DeleteFunc(geometries(), func(g geometry) bool { return !slices.Contains(best, g.String()) })
	for _, c := range []struct {
		kind int
		dt   tensor.DType
		s    [3]int
	}{
		{1, tensor.F32, [3]int{n, n, n}},
		{2, tensor.F32, [3]int{n, n, n}},
		{0, tensor.Q4_0, [3]int{n, n, n}},
		{1, tensor.Q4_0, [3]int{n, n, n}},
		{0, tensor.F16, [3]int{n, n, n}},
		{0, tensor.F32, [3]int{n / 2, n / 2, n / 2}},
		{0, tensor.Q4_0, [3]int{n / 2, n / 2, 2 * n}},
		{1, tensor.Q4_0, [3]int{n / 2, n / 2, 2 * n}},
		{0, tensor.F32, [3]int{n / 8, n / 2, n / 2}},
		{0, tensor.F32, [3]int{64, n / 2, n / 2}},
	} {
		sweep(t, b, shard(t, list), c.kind, c.dt, c.s)
	}
}

// shard takes this process's share of a list.
func shard[T any](t *testing.T, list []T) []T {
	i, n := 0, 1
	if text := os.Getenv("GPUPEFT_SWEEP_SHARD"); text != "" {
		if _, err := fmt.Sscanf(text, "%d/%d", &i, &n); err != nil {
			t.Fatal(err)
		}
	}
	var own []T
	for ; i < len(list); i += n {
		own = append(own, list[i])
	}
	return own
}

// alone calls f while no other process does.
func alone(t *testing.T, f func()) {
	file, err := os.OpenFile(filepath.Join(os.TempDir(), "gpupeft-sweep.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	f()
}

// sweep times geometries. Each line ends with what TestSweep's first stage is given for it.
func sweep(t *testing.T, b *Backend, list []geometry, kind int, dt tensor.DType, s [3]int) {
	t.Helper()
	o, _, done := sweepOp(t, b, kind, dt, s, false)
	defer done()
	for _, g := range list {
		if !g.fits(b.limits) {
			continue
		}
		b.tune.shared = []choice{{geometry: g}}
		rate, compile := sweepRate(t, b, o)
		fmt.Printf("SWEEP %v %v %dx%dx%d %.0f GFLOP/s compile %v %v\n", form(kind), dt, s[0], s[1], s[2], rate, compile.Round(time.Millisecond), g)
	}
}

// sweepRate is the speed of operations in GFLOP/s, the best of a few rounds, and the
// time that their kernels took to compile.
func sweepRate(t *testing.T, b *Backend, ops ...tensor.Op) (rate float64, first time.Duration) {
	t.Helper()
	times := func(n int) time.Duration {
		list := slices.Repeat(ops, n)
		start := time.Now()
		if err := b.Run(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if err := b.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	start := time.Now()
	r := recorder{Backend: b}
	if err := r.op(ops[0]); err != nil {
		t.Fatal(err)
	}
	first = time.Since(start)
	alone(t, func() {
		times(1)
		once := times(1)
		n := max(1, min(64, int(20*time.Millisecond/max(once, time.Microsecond))))
		for range 3 {
			rate = max(rate, ops[0].Flops()*float64(n*len(ops))/times(n).Seconds()/1e9)
		}
	})
	return rate, first
}

// TestSweepRows times the geometries of decoding.
func TestSweepRows(t *testing.T) {
	if os.Getenv("GPUPEFT_SWEEP") == "" {
		t.Skip("GPUPEFT_SWEEP is not set")
	}
	b := openTuned(t, Config{Tiles: TilesShared}, func(*tuning) {})
	const cold = 256 << 20 // more than a cache holds
	types := []tensor.DType{tensor.F32, tensor.F16, tensor.Q8_0, tensor.Q4_0, tensor.Q4_K}
	blocks := os.Getenv("GPUPEFT_SWEEP") == "blocks"
	if blocks {
		types = []tensor.DType{tensor.Q8_0, tensor.Q4_0}
	}
	for _, dt := range types {
		for _, s := range [][3]int{{1, 2048, 2048}, {1, 8192, 8192}, {4, 2048, 8192}} {
			var ops []tensor.Op
			bytes := dt.Bytes(s[1] * s[2])
			for at := int64(0); at < cold; at += bytes {
				o, _, _ := sweepOp(t, b, 0, dt, s, false)
				ops = append(ops, o)
				if b.info.Type == SoftwareGPU {
					break
				}
			}
			list := rowGeometries()
			if inBlocks[dt] && s[0] <= 2 {
				list = append(list, blockGeometries()...)
			}
			if blocks {
				list = slices.DeleteFunc(list, func(g geometry) bool { return g.unit != 8 })
			}
			for _, g := range shard(t, list) {
				if 16*s[0]*g.cols/4*g.lanesM*g.lanesN > int(b.limits.WorkgroupMemory) {
					continue
				}
				b.tune.single, b.tune.packed, b.tune.blocked = g, g, g
				rate, _ := sweepRate(t, b, ops...)
				fmt.Printf("ROWS %v %dx%dx%d %.0f GB/s %d groups of %d lanes, %d columns, units of %d\n", dt, s[0], s[1], s[2],
					rate/ops[0].Flops()*float64(bytes), g.lanesM, g.lanesN, g.cols, g.unit)
			}
			for _, o := range ops {
				for _, x := range o.Operands() {
					_ = x.Tensor.Close()
				}
			}
		}
	}
}

func rowGeometries() []geometry {
	var all []geometry
	for _, threads := range []int{32, 64, 128, 256} {
		for _, lanes := range []int{8, 16, 32, 64, 128, 256} {
			for _, cols := range []int{4, 8} {
				if lanes <= threads {
					all = append(all, geometry{rows: 1, cols: cols, lanesM: threads / lanes, lanesN: lanes},
						geometry{rows: 1, cols: cols, lanesM: threads / lanes, lanesN: lanes, unit: 2})
				}
			}
		}
	}
	return all
}

// blockGeometries are those of decoding by blocks.
func blockGeometries() []geometry {
	var all []geometry
	for _, lanes := range []int{8, 16, 32, 64, 128, 256} {
		for _, groups := range []int{1, 2, 4, 8} {
			for _, cols := range []int{4, 8} {
				if lanes*groups >= 32 && lanes*groups <= 256 {
					all = append(all, geometry{rows: 1, cols: cols, lanesM: groups, lanesN: lanes, unit: 8})
				}
			}
		}
	}
	return all
}

// TestRowGeometries: every geometry of decoding gives right products.
func TestRowGeometries(t *testing.T) {
	b := openTuned(t, Config{Tiles: TilesShared}, func(*tuning) {})
	oracle := tensor.NewFloat64()
	t.Cleanup(func() { _ = oracle.Close() })
	for i, g := range append(rowGeometries(), blockGeometries()...) {
		if i%3 != 0 && os.Getenv("GPUPEFT_SWEEP") == "" {
			continue
		}
		types := []tensor.DType{tensor.F32, tensor.Q4_0, tensor.F16, tensor.Q8_0, tensor.Q4_1}
		if g.unit == 8 {
			types = []tensor.DType{tensor.Q4_0, tensor.Q8_0, tensor.Q4_1}
		}
		b.tune.single, b.tune.packed, b.tune.blocked = g, g, g
		dt, s := types[i/3%len(types)], [3]int{1 + i%2, 160, 77}
		got, want := sweepOnce(t, b, 0, dt, s), sweepOnce(t, oracle, 0, dt, s)
		if e := optest.NMSE(got, want); !(e <= optest.Tolerance) {
			t.Errorf("%v %+v: NMSE %.3g", dt, g, e)
		}
	}
}
