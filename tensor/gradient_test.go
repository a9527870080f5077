package tensor_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// Central differences in float64 are off by about step² and by rounding/step,
// both some 1e-10; the tolerances leave room for large second derivatives.
const (
	step       = 1e-6
	absolute   = 1e-7
	relative   = 1e-6
	mostProbes = 80 // values of one tensor that are probed
)

// graph is a piece of computation whose gradient is checked on the oracle. The
// loss is the sum of all results, each value times a random factor.
type graph struct {
	*testing.T
	*rand.Rand
	oracle  *tensor.Float64
	inputs  []pair
	results []pair
	// loss replaces the sum over the results, if set.
	loss func() float64
}

// pair is a tensor and the gradient of the loss with regard to it.
type pair struct{ x, dx *tensor.Tensor }

func newGraph(t *testing.T) *graph {
	oracle := tensor.NewFloat64()
	t.Cleanup(func() {
		if err := oracle.Close(); err != nil {
			t.Error(err)
		}
	})
	return &graph{T: t, Rand: rand.New(rand.NewPCG(1, 2)), oracle: oracle}
}

// input makes a tensor whose gradient is to be checked, and room for it.
func (g *graph) input(shape ...int) (x, dx *tensor.Tensor) {
	p := pair{g.normal(shape...), g.junk(shape...)}
	g.inputs = append(g.inputs, p)
	return p.x, p.dx
}

// result makes room for a result, and the random gradient of the loss there.
func (g *graph) result(shape ...int) (y, dy *tensor.Tensor) {
	p := pair{g.junk(shape...), g.normal(shape...)}
	g.results = append(g.results, p)
	return p.x, p.dx
}

func (g *graph) normal(shape ...int) *tensor.Tensor {
	return g.fill(func() float64 { return g.NormFloat64() }, shape...)
}

// junk makes a tensor that is to be overwritten.
func (g *graph) junk(shape ...int) *tensor.Tensor { return g.fill(math.NaN, shape...) }

func (g *graph) fill(value func() float64, shape ...int) *tensor.Tensor {
	t, err := g.oracle.New("x", tensor.F32, shape...)
	g.must(err)
	values := make([]float64, t.Len())
	for i := range values {
		values[i] = value()
	}
	g.write(t, values)
	return t
}

func (g *graph) ints(values ...int32) *tensor.Tensor {
	t, err := tensor.FromInts(g.Context(), g.oracle, "i", values, len(values))
	g.must(err)
	return t
}

func (g *graph) must(err error) {
	if err != nil {
		g.Helper()
		g.Fatal(err)
	}
}

func (g *graph) write(t *tensor.Tensor, values []float64) {
	g.must(g.oracle.Write64(g.Context(), t, values))
}

func (g *graph) read(t *tensor.Tensor) []float64 {
	values := make([]float64, t.Len())
	g.must(g.oracle.Read64(g.Context(), t, values))
	return values
}

func (g *graph) run(ops ...tensor.Op) {
	p := tensor.Begin(g.oracle)
	p.Do(ops...)
	g.must(p.Submit(g.Context()))
}

// value computes the loss after a forward pass.
func (g *graph) value(forward []tensor.Op) float64 {
	g.run(forward...)
	if g.loss != nil {
		return g.loss()
	}
	var sum float64
	for _, r := range g.results {
		y, dy := g.read(r.x), g.read(r.dx)
		for i := range y {
			sum += y[i] * dy[i]
		}
	}
	return sum
}

// check compares the gradients that backward computes with central differences.
func (g *graph) check(forward, backward []tensor.Op) {
	g.Helper()
	g.run(forward...)
	g.run(backward...)
	for n, in := range g.inputs {
		x, got := g.read(in.x), g.read(in.dx)
		for _, i := range g.Perm(len(x))[:min(len(x), mostProbes)] {
			moved := slices.Clone(x)
			moved[i] = x[i] + step
			g.write(in.x, moved)
			above := g.value(forward)
			moved[i] = x[i] - step
			g.write(in.x, moved)
			want := (above - g.value(forward)) / (2 * step)
			if !(math.Abs(got[i]-want) <= absolute+relative*math.Abs(want)) {
				g.Errorf("input %d, value %d of %d: gradient %.9g, by differences %.9g", n, i, len(x), got[i], want)
			}
		}
		g.write(in.x, x)
	}
}
