package gpu

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// openTuned opens a backend and changes what it derives from the kind of adapter.
func openTuned(t *testing.T, c Config, tune func(*tuning)) *Backend {
	t.Helper()
	b, err := Open(t.Context(), c)
	if errors.Is(err, ErrUnavailable) && os.Getenv("GPUPEFT_REQUIRE_GPU") != "1" {
		t.Skipf("no GPU: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	tune(&b.tune)
	return b
}

// TestCuts runs the cases of operations that are done in parts under bounds so low
// that small cases have many parts.
func TestCuts(t *testing.T) {
	small := DefaultLimits()
	small.BindingSize = 144 << 10 // the widest case needs 64 rows of 515 values
	small.WorkgroupsPerDim = 600
	for name, test := range map[string]struct {
		config Config
		tune   func(*tuning)
		cases  string // a regular expression for the names of cases
	}{
		"bindings": {
			config: Config{Limits: &small, Tiles: TilesShared},
			tune:   func(*tuning) {},
			cases:  `^matmul.*/(f32/|bf16/)?(1x1024x515|256x64x128|128x512x512|255x257x129|65x128x256)|^(embed|gather|copy|add|scale|fill|softcap|adamw|lion|sgd|norm)`,
		},
		"work": {
			config: Config{Tiles: TilesRegister},
			tune:   func(u *tuning) { u.dispatchFlops = 1e6; u.fill = 0 },
			cases:  `^matmul.*/(f32/|f16/)?(256x64x128|128x512x512|255x257x129|65x128x256)/`,
		},
		"slices": {
			config: Config{Tiles: TilesRegister},
			tune:   func(u *tuning) { u.cache = 1 },
			cases:  `^matmul.*/(f32/|f16/)?(256x64x128|128x512x512|255x257x129|65x128x256)/`,
		},
		"inner": {
			config: Config{Tiles: TilesShared},
			tune:   func(u *tuning) { u.fill = 1 << 20 },
			cases:  `^matmul.*/(f32/|f16/)?(128x512x512|1x1024x515|2x257x31|256x64x128)/`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := openTuned(t, test.config, test.tune)
			oracle := tensor.NewFloat64()
			chosen := regexp.MustCompile(test.cases)
			ran := 0
			for _, c := range optest.Cases() {
				if !chosen.MatchString(c.Name) {
					continue
				}
				ran++
				if err := c.Check(t.Context(), b, oracle); err != nil {
					t.Errorf("%s: %v", c.Name, err)
				}
			}
			if ran < 8 {
				t.Errorf("%d cases match, want some more", ran)
			}
			if err := oracle.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDispatchCounts looks at how products are cut, which TestCuts can't see.
func TestDispatchCounts(t *testing.T) {
	small := DefaultLimits()
	small.BindingSize = 64 << 10
	for name, test := range map[string]struct {
		limits  *Limits
		tune    func(*tuning)
		n, i, o int
		nt      int // dispatches of each form
		nn      int
		tn      int
	}{
		"one":         {nil, func(u *tuning) { u.fill = 0 }, 64, 128, 256, 1, 1, 1},
		"rows of w":   {&small, func(u *tuning) { u.fill = 0 }, 64, 128, 256, 2, 2, 2},
		"tokens, too": {&small, func(u *tuning) { u.fill = 0 }, 128, 256, 256, 8, 8, 8},
		"work":        {nil, func(u *tuning) { u.fill = 0; u.dispatchFlops = 64 * 2 * 128 * 256 }, 256, 128, 256, 4, 4, 4},
		"slices of w": {nil, func(u *tuning) { u.fill = 0; u.cache = 64 * 4 * 128 }, 64, 128, 256, 1, 4, 1},
		"wide":        {nil, func(u *tuning) { u.fill = 0 }, 1, 4, 4*65535 + 8, 2, 5, 2},
		"inner":       {nil, func(u *tuning) { u.fill = 1 << 20 }, 16, 1024, 16, 2, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := openTuned(t, Config{Limits: test.limits, Tiles: TilesShared}, test.tune)
			get := func(rows, cols int) *tensor.Tensor {
				x, err := b.New("x", tensor.F32, rows, cols)
				if err != nil {
					t.Fatal(err)
				}
				return x
			}
			x, y, w := get(test.n, test.i), get(test.n, test.o), get(test.o, test.i)
			for _, c := range []struct {
				op   tensor.Op
				want int
			}{
				{tensor.MatMul{Out: y, X: x, W: w}, test.nt},
				{tensor.MatMulDX{DX: x, DOut: y, W: w}, test.nn},
				{tensor.MatMulDW{DW: w, DOut: y, X: x}, test.tn},
			} {
				r := recorder{Backend: b}
				if err := r.op(c.op); err != nil {
					t.Fatal(err)
				}
				if len(r.ds) != c.want {
					t.Errorf("%s: %d dispatches, want %d", c.op.Name(), len(r.ds), c.want)
				}
			}
		})
	}
}

// TestTileSources compiles every matrix kernel that tileFor can choose, at the limits
// that every GPU grants.
func TestTileSources(t *testing.T) {
	limits := DefaultLimits()
	b := openTuned(t, Config{Limits: &limits}, func(*tuning) {})
	seen := map[tile]bool{}
	for _, tiles := range []Tiles{TilesRegister, TilesShared} {
		b.tune.tiles = tiles
		b.tune.maxRows = 8
		for _, x := range allProducts(t, b) {
			seen[(&recorder{Backend: b}).tileFor(x, block{m1: x.m, n1: x.n, k1: x.k})] = true
		}
	}
	for p := range seen {
		if _, err := b.kernel(p, false); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if len(seen) < 150 {
		t.Errorf("%d kernels, want all kinds, forms, types and alignments", len(seen))
	}
}

func allProducts(t *testing.T, b *Backend) []product {
	var all []product
	tensors := map[string]*tensor.Tensor{}
	get := func(dt tensor.DType, rows, cols int) *tensor.Tensor {
		key := tensor.Wrap(nil, "", dt, rows, cols).String()
		if tensors[key] == nil {
			x, err := b.New(key, dt, rows, cols)
			if err != nil {
				t.Fatal(err)
			}
			tensors[key] = x
		}
		return tensors[key]
	}
	for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16} {
		for _, n := range []int{1, 2, 3, 8, 12, 64} {
			for _, i := range []int{8, 9, 64, 65} {
				for _, o := range []int{8, 9, 64, 65} {
					x, y, w := get(tensor.F32, n, i), get(tensor.F32, n, o), get(dt, o, i)
					all = append(all, product{form: nt, c: y, a: x, w: w, m: n, n: o, k: i},
						product{form: nn, c: x, a: y, w: w, m: n, n: i, k: o})
					if dt == tensor.F32 {
						all = append(all, product{form: tn, c: w, a: y, w: x, m: o, n: i, k: n})
					}
				}
			}
		}
	}
	return all
}

// TestRepeatable demands the same bits from the same input, also where sums are split.
func TestRepeatable(t *testing.T) {
	b := openTuned(t, Config{}, func(u *tuning) { u.fill = 1 << 16 })
	var first []optest.Output
	for range 3 {
		for _, c := range optest.Cases() {
			if !strings.HasPrefix(c.Name, "matmul.dw/255x257x129") {
				continue
			}
			got, err := c.Run(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = got
			}
			if !slices.Equal(got[0].Values, first[0].Values) {
				t.Fatal("two runs differ")
			}
		}
	}
	if first == nil {
		t.Fatal("no case matches")
	}
}

// TestConcurrentRuns has several goroutines use the buffer for partial results.
func TestConcurrentRuns(t *testing.T) {
	b := openTuned(t, Config{}, func(u *tuning) { u.fill = 1 << 16 })
	oracle := tensor.NewFloat64()
	defer oracle.Close()
	var wg sync.WaitGroup
	for _, c := range optest.Cases() {
		if !regexp.MustCompile(`^matmul.*/(128x512x512|255x257x129)`).MatchString(c.Name) {
			continue
		}
		want, err := c.Run(t.Context(), oracle)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range 5 {
				got, err := c.Run(t.Context(), b)
				if err == nil {
					err = optest.Compare(got, want, c.Tolerance)
				}
				if err != nil {
					t.Errorf("%s: %v", c.Name, err)
				}
			}
		})
	}
	wg.Wait()
}

// checkAllUsed demands that every entry point of shaders/ was compiled.
func (b *Backend) checkAllUsed(t *testing.T) {
	t.Helper()
	labels := map[string]bool{}
	for _, k := range b.kernels.m {
		labels[k.Label()] = true
	}
	paths, err := filepath.Glob("../shaders/*.wgsl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no shaders: %v", err)
	}
	entry := regexp.MustCompile(`@compute[^{]*?fn (\w+)`)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".wgsl")
		for _, m := range entry.FindAllStringSubmatch(string(text), -1) {
			if !labels[name+"."+m[1]] {
				t.Errorf("%s.wgsl: no operation uses entry point %s", name, m[1])
			}
		}
	}
}

// TestOpsAsRealGPU runs all cases as they run on a discrete GPU, also where there is
// none, and at the limits that every GPU grants.
func TestOpsAsRealGPU(t *testing.T) {
	limits := DefaultLimits()
	real, err := tuningFor(DiscreteGPU, limits, TilesAuto)
	if err != nil {
		t.Fatal(err)
	}
	b := openTuned(t, Config{Limits: &limits}, func(u *tuning) { *u = real })
	optest.Run(t, b)
	if p, err := b.Peak(t.Context()); err != nil || !(p.Flops > 1e8 && p.Bytes > 1e7) {
		t.Errorf("peak %+v, %v", p, err)
	}
	b.checkAllUsed(t)
}

// TestOpsAtLowLimits runs the cases whose kernels depend on the size of workgroups with a
// quarter of the workgroup memory and invocations that every GPU grants.
func TestOpsAtLowLimits(t *testing.T) {
	limits := DefaultLimits()
	limits.WorkgroupMemory /= 4
	limits.WorkgroupInvocations /= 4
	limits.WorkgroupSizeX /= 4
	low, err := tuningFor(DiscreteGPU, limits, TilesAuto)
	if err != nil {
		t.Fatal(err)
	}
	b := openTuned(t, Config{Limits: &limits}, func(u *tuning) { *u = low })
	oracle := tensor.NewFloat64()
	t.Cleanup(func() { _ = oracle.Close() })
	for i, c := range optest.Cases() {
		if i%4 != 0 && strings.HasPrefix(c.Name, "matmul") {
			continue
		}
		if err := c.Check(t.Context(), b, oracle); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}

// TestTuning: what is chosen for products on a large GPU with the limits of all.
func TestTuning(t *testing.T) {
	u, err := tuningFor(DiscreteGPU, DefaultLimits(), TilesAuto)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ m, n, k, high, wide int }{
		{2048, 2048, 2048, 128, 128},
		{2048, 512, 2048, 64, 64}, // too few large tiles
		{2048, 8, 2048, 64, 8},
		{2048, 16, 2048, 64, 16},
		{8, 2048, 2048, 8, 64},
		{2048, 2048, 8, 64, 64},
		{64, 2048, 2048, 64, 64},
	} {
		if g := u.sharedFor(c.m, c.n, c.k); g.rows*g.lanesM != c.high || g.cols*g.lanesN != c.wide {
			t.Errorf("c [%d, %d] over %d: tiles of %d×%d, want %d×%d", c.m, c.n, c.k, g.rows*g.lanesM, g.cols*g.lanesN, c.high, c.wide)
		}
	}
	if u, err = tuningFor(IntegratedGPU, DefaultLimits(), TilesAuto); err != nil {
		t.Fatal(err)
	}
	if g := u.sharedFor(2048, 2048, 2048); g.rows*g.lanesM != 64 {
		t.Errorf("an integrated GPU gets tiles of %d rows", g.rows*g.lanesM)
	}
	for rows, lanes := range map[int]int{1: 256, 2: 128, 3: 64, 8: 32} {
		if g := u.rowsFor(rows, tensor.F32); g.lanesN != lanes || g.rows < rows {
			t.Errorf("%d rows: %+v", rows, g)
		}
	}
}

// TestOpsAsSoftwareGPU runs all cases as they run on a software adapter.
func TestOpsAsSoftwareGPU(t *testing.T) {
	software, err := tuningFor(SoftwareGPU, DefaultLimits(), TilesAuto)
	if err != nil {
		t.Fatal(err)
	}
	optest.Run(t, openTuned(t, Config{}, func(u *tuning) { *u = software }))
}

func TestPreamble(t *testing.T) {
	type consts struct {
		HeadDim uint32
		Shift   int32
		Eps     float32
		Causal  bool
		Elem    alias
	}
	got, err := preamble(consts{64, -3, 1e-5, true, "vec4<f32>"})
	want := "const HEAD_DIM: u32 = 64u;\nconst SHIFT: i32 = -3i;\nconst EPS: f32 = 1e-05f;\nconst CAUSAL: bool = true;\nalias Elem = vec4<f32>;\n"
	if err != nil || got != want {
		t.Errorf("preamble %q, %v, want %q", got, err, want)
	}
	if _, err := preamble(struct{ X float64 }{1}); !errors.Is(err, ErrArgument) {
		t.Errorf("error %v for a float64, want ErrArgument", err)
	}
	if _, err := encodeParams(struct{ N int }{1}); !errors.Is(err, ErrArgument) {
		t.Errorf("error %v for an int, want ErrArgument", err)
	}
}

func TestParts(t *testing.T) {
	r := recorder{Backend: &Backend{limits: Limits{BindingSize: 64 << 10, BufferSize: 1 << 20}}}
	for _, test := range []struct {
		n, most int
		sizes   []int64
		want    []int // ends of the parts
	}{
		{10, 10, nil, []int{10}},
		{10, 7, nil, []int{4, 8, 10}},
		{1000, 1000, []int64{256}, []int{256, 512, 768, 1000}},
		{1000, 100, []int64{256}, []int{64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1000}},
		{300, 300, []int64{514}, []int{128, 256, 300}},              // half words: views begin at every 128th row
		{300, 300, []int64{1024, 4}, []int{64, 128, 192, 256, 300}}, // the ids' alignment counts, too
	} {
		var got []int
		last := 0
		for lo, hi := range r.parts(test.n, test.most, test.sizes...) {
			if lo != last {
				t.Errorf("%v: a part begins at %d, want %d", test, lo, last)
			}
			last = hi
			got = append(got, hi)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("parts of %d, at most %d, rows of %v bytes: %v, want %v", test.n, test.most, test.sizes, got, test.want)
		}
	}
}

func TestFold(t *testing.T) {
	r := recorder{Backend: &Backend{limits: Limits{WorkgroupsPerDim: 100}}}
	for n, want := range map[int][3]uint32{1: {1, 1, 1}, 100: {100, 1, 1}, 101: {51, 2, 1}, 250: {84, 3, 1}} {
		if got := r.fold(n); got != want {
			t.Errorf("fold(%d) = %v, want %v", n, got, want)
		}
	}
}
