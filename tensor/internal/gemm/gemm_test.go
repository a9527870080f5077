package gemm

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gpupeft/gpupeft/tensor/internal/half"
)

// unitRoundoff is the largest relative error of one float32 operation. A sum of k products, in whatever order
// and with alpha and beta applied, errs by less than k+4 of it times the sum of the magnitudes (Higham,
// "Accuracy and Stability of Numerical Algorithms", section 3.1).
const unitRoundoff = 0x1p-24

// implementations are the kernels under test: all that this processor can run.
func implementations() map[string]*kernels {
	all := map[string]*kernels{"plain": &plain}
	if native != &plain {
		all["native"] = native
	}
	for name, kern := range slower {
		all[name] = kern
	}
	return all
}

// goroutines returns a Parallel of n workers that take task after task.
func goroutines(n int) Parallel {
	return Parallel{n, func(tasks int, f func(int)) {
		var group sync.WaitGroup
		var next atomic.Int64
		work := func() {
			for i := int(next.Add(1)) - 1; i < tasks; i = int(next.Add(1)) - 1 {
				f(i)
			}
		}
		for range min(n, tasks) - 1 {
			group.Go(work)
		}
		work()
		group.Wait()
	}}
}

func random(seed uint64, n int) []float32 {
	source := rand.New(rand.NewPCG(seed, uint64(n)))
	s := make([]float32, n)
	for i := range s {
		s[i] = source.Float32() - 0.5
	}
	return s
}

// storage is the way an operand of a test is stored.
type storage int

const (
	storedF32 storage = iota
	storedF16
	storedBF16
	storages
)

func (s storage) String() string { return [...]string{"f32", "f16", "bf16"}[s] }

// operand makes a random matrix such that op of it is rows x cols, with padding between its rows. The second
// result is the same matrix held as float32.
func operand(seed uint64, rows, cols int, trans bool, as storage, padding int) (stored, plain Operand) {
	if trans {
		rows, cols = cols, rows
	}
	stride := cols + padding
	data := random(seed, rows*stride)
	o := Operand{Rows: rows, Cols: cols, Stride: stride, Trans: trans}
	narrow := make([]uint16, len(data))
	stored, plain = o, o
	switch as {
	case storedF16:
		half.F32ToF16(narrow, data)
		half.F16ToF32(data, narrow)
		stored.Source = &F16Rows{Data: narrow, Stride: stride}
	case storedBF16:
		half.F32ToBF16(narrow, data)
		half.BF16ToF32(data, narrow)
		stored.Source = &BF16Rows{Data: narrow, Stride: stride}
	default:
		stored.F32 = data
	}
	plain.F32 = data
	return stored, plain
}

// at returns element (r, c) of op(o).
func (o Operand) at(r, c int) float64 {
	if o.Trans {
		r, c = c, r
	}
	return float64(o.F32[r*o.Stride+c])
}

// compare checks c against the definition in float64.
func compare(t *testing.T, c, before []float32, ldc, m, n, k int, alpha, beta float32, a, b Operand) {
	t.Helper()
	for i := range m {
		for j := range n {
			var sum, magnitude float64
			for p := range k {
				product := a.at(i, p) * b.at(p, j)
				sum += product
				magnitude += math.Abs(product)
			}
			want, bound := float64(alpha)*sum, math.Abs(float64(alpha))*magnitude
			if beta != 0 {
				old := float64(beta) * float64(before[i*ldc+j])
				want += old
				bound += math.Abs(old)
			}
			got := float64(c[i*ldc+j])
			if !(math.Abs(got-want) <= float64(k+4)*unitRoundoff*bound) {
				t.Fatalf("element (%d, %d) is %g, want %g", i, j, got, want)
			}
		}
	}
}

// poisoned returns a result matrix for beta: random, or NaN where it must not be read.
func poisoned(n int, beta float32) []float32 {
	c := random(9, n)
	if beta == 0 {
		for i := range c {
			c[i] = float32(math.NaN())
		}
	}
	return c
}

// checkGuards checks that everything outside the m x n matrix still is as before.
func checkGuards(t *testing.T, c, before []float32, ldc, m, n int) {
	t.Helper()
	for i, v := range c {
		inside := i/ldc < m && i%ldc < n
		if !inside && math.Float32bits(v) != math.Float32bits(before[i]) {
			t.Fatalf("word %d outside the result changed from %g to %g", i, before[i], v)
		}
	}
}

// product is one call under test.
type product struct {
	m, n, k        int
	transA, transB bool
	storedA        storage
	storedB        storage
	padding        int
	alpha, beta    float32
}

func (p product) check(t *testing.T, kern *kernels, par Parallel) {
	t.Helper()
	storedA, a := operand(1, p.m, p.k, p.transA, p.storedA, p.padding)
	storedB, b := operand(2, p.k, p.n, p.transB, p.storedB, p.padding)
	ldc := p.n + p.padding
	before := poisoned((p.m+1)*ldc+5, p.beta)
	c := append([]float32{}, before...)
	if err := run(kern, par, c, ldc, p.m, p.n, p.k, p.alpha, p.beta, storedA, storedB); err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	checkGuards(t, c, before, ldc, p.m, p.n)
	compare(t, c, before, ldc, p.m, p.n, p.k, p.alpha, p.beta, a, b)
	if t.Failed() {
		t.Fatalf("in %+v", p)
	}
}

var orientations = []struct {
	name           string
	transA, transB bool
}{{"NN", false, false}, {"NT", false, true}, {"TN", true, false}, {"TT", true, true}}

// scalings are the pairs of alpha and beta, walked through by the tests of shapes.
var scalings = [][2]float32{{1, 0}, {1, 1}, {0.5, 0}, {-1.5, 1}, {1, 0.25}, {2, -1}, {0, 0}, {0, 0.5}}

func TestShapes(t *testing.T) {
	sizes := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 63, 64, 65}
	depths := []int{0, 1, 5, 8, 17, 64}
	if testing.Short() {
		sizes = []int{1, 4, 7, 9, 16, 17, 65}
	}
	for name, kern := range implementations() {
		for _, o := range orientations {
			t.Run(name+"/"+o.name, func(t *testing.T) {
				turn := 0
				for _, m := range sizes {
					for _, n := range sizes {
						for _, k := range depths {
							turn++
							scaling := scalings[turn%len(scalings)]
							product{
								m: m, n: n, k: k, transA: o.transA, transB: o.transB,
								storedA: storage(turn / 3 % int(storages)), storedB: storage(turn % int(storages)),
								padding: turn % 4, alpha: scaling[0], beta: scaling[1],
							}.check(t, kern, Parallel{})
						}
					}
				}
			})
		}
	}
}

// TestBlocks uses shapes that take several blocks and tasks in every direction, and the tails of blocks.
func TestBlocks(t *testing.T) {
	shapes := [][3]int{
		{97, 255, 257},
		{255, 256, 257},
		{257, 255, 256},
		{6, 300, 520},
		{100, 8, 1030},
		{3, 530, 2049},
		{500, 33, 40},
		{8, 600, 300},
		{600, 7, 300},
		{1000, 17, 9},
	}
	for name, kern := range implementations() {
		for _, shape := range shapes {
			for i, o := range orientations {
				t.Run(fmt.Sprintf("%s/%s/%v", name, o.name, shape), func(t *testing.T) {
					scaling := scalings[i]
					product{
						m: shape[0], n: shape[1], k: shape[2], transA: o.transA, transB: o.transB,
						storedB: storage(i % int(storages)), padding: 3, alpha: scaling[0], beta: scaling[1],
					}.check(t, kern, goroutines(3))
				})
			}
		}
	}
}

// TestBitsDependOnShapeAlone computes products with 1, 2 and 8 workers and with the right operand from memory
// and from a source.
func TestBitsDependOnShapeAlone(t *testing.T) {
	shapes := [][3]int{{1, 3000, 1500}, {5, 999, 2100}, {200, 300, 700}, {700, 8, 1100}, {8, 700, 300}, {64, 1024, 512}}
	for name, kern := range implementations() {
		for _, shape := range shapes {
			for _, o := range orientations {
				t.Run(fmt.Sprintf("%s/%s/%v", name, o.name, shape), func(t *testing.T) {
					m, n, k := shape[0], shape[1], shape[2]
					a, _ := operand(1, m, k, o.transA, storedF32, 0)
					b, unpacked := operand(2, k, n, o.transB, storedBF16, 0)
					want := make([]float32, m*n)
					if err := run(kern, Parallel{}, want, n, m, n, k, 1, 0, a, unpacked); err != nil {
						t.Fatal(err)
					}
					for _, workers := range []int{1, 2, 8} {
						got := make([]float32, m*n)
						if err := run(kern, goroutines(workers), got, n, m, n, k, 1, 0, a, b); err != nil {
							t.Fatal(err)
						}
						for i := range want {
							if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
								t.Fatalf("%d workers: element %d is %x, want %x", workers, i, got[i], want[i])
							}
						}
					}
				})
			}
		}
	}
}

// TestTasks checks that the tasks of a chunk end at tiles' and blocks' borders, that all workers have some where there
// is work, and that a task's sums of one panel fit its memory.
func TestTasks(t *testing.T) {
	for name, kern := range implementations() {
		for _, m := range []int{1, 5, 12, 64, 97, 480, 1024} {
			for _, n := range []int{1, 16, 33, 256, 257, 2048, 32001} {
				for _, workers := range []int{1, 2, 64} {
					j := &job{kernels: kern, c: target{rows: m, cols: n}, k: 512, kc: 256}
					j.b.block = 64
					j.chunk = chunk{rows: m, end: 512}
					j.prepare(workers)
					tasks := ceilDiv(m, j.tileRows) * ceilDiv(n, j.tileCols)
					if j.tileRows%j.height != 0 || j.tileCols%64 != 0 || min(m, j.tileRows)*kern.width > partsSize ||
						workers == 1 && tasks > ceilDiv(m, mTile) || m*n >= 1<<20 && tasks < workers {
						t.Errorf("%s, %d workers: %d x %d is cut to %d x %d", name, workers, m, n, j.tileRows, j.tileCols)
					}
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	data := make([]float32, 12)
	good := Operand{F32: data, Rows: 3, Cols: 4}
	cases := []struct {
		name         string
		c            []float32
		ldc, m, n, k int
		a, b         Operand
	}{
		{"negative", data, 3, -1, 3, 4, good, good},
		{"short result", data[:8], 3, 3, 3, 4, good, good},
		{"narrow result", data, 2, 3, 3, 4, good, good},
		{"left dimensions", data, 3, 3, 3, 3, good, good},
		{"right dimensions", data, 3, 3, 3, 4, good, good},
		{"right data", data, 3, 3, 3, 4, good, Operand{F32: data[:11], Rows: 3, Cols: 4, Trans: true}},
		{"left stride", data, 3, 3, 3, 4, Operand{F32: data, Rows: 3, Cols: 4, Stride: 3}, good},
		{"no data", data, 3, 3, 3, 4, good, Operand{Rows: 3, Cols: 4, Trans: true}},
	}
	for _, c := range cases {
		err := Gemm(Parallel{}, c.c, c.ldc, c.m, c.n, c.k, 1, 0, c.a, c.b)
		if !errors.Is(err, ErrShape) {
			t.Errorf("%s: error %v, want ErrShape", c.name, err)
		}
	}
}

// TestZeroAlphaReadsNoOperand multiplies NaN by an alpha of zero.
func TestZeroAlphaReadsNoOperand(t *testing.T) {
	nan := []float32{float32(math.NaN())}
	c := []float32{3}
	o := Operand{F32: nan, Rows: 1, Cols: 1}
	if err := Gemm(Parallel{}, c, 1, 1, 1, 1, 0, 2, o, o); err != nil || c[0] != 6 {
		t.Errorf("c is %g, error %v; want 6", c[0], err)
	}
}

func TestNoAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool drops a part of what it is given")
	}
	serial := Parallel{1, func(n int, f func(int)) {
		for i := range n {
			f(i)
		}
	}}
	for _, shape := range [][3]int{{1, 512, 512}, {64, 512, 512}, {512, 8, 512}, {8, 512, 512}} {
		for _, o := range orientations {
			m, n, k := shape[0], shape[1], shape[2]
			a, _ := operand(1, m, k, o.transA, storedF32, 0)
			b, _ := operand(2, k, n, o.transB, storedBF16, 0)
			c := make([]float32, m*n)
			call := func() {
				if err := Gemm(serial, c, n, m, n, k, 1, 0, a, b); err != nil {
					t.Fatal(err)
				}
			}
			call() // fills the pools
			// A garbage collection during the runs may empty a pool once; an allocation per call shows as 1 or more.
			if got := testing.AllocsPerRun(20, call); got >= 1 {
				t.Errorf("%s %v: %g allocations per call", o.name, shape, got)
			}
		}
	}
}
