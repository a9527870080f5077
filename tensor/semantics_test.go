package tensor_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// sees is the masking rule as the documentation of tensor.Heads states it.
func sees(h tensor.Heads, segment []int32, b, i, j int) bool {
	at := h.First + i
	if j < h.Prefix {
		return true
	}
	if j > at || (h.Window > 0 && at-j >= h.Window) {
		return false
	}
	return segment == nil || (segment[b*h.Keys+j] == segment[b*h.Keys+at] && segment[b*h.Keys+at] >= 0)
}

// TestMask compares which scores are −∞ with the rule, and checks queries that
// see nothing.
func TestMask(t *testing.T) {
	inf := math.Inf(-1)
	everyGeometry(t, func(g *graph, h tensor.Heads, segment *tensor.Tensor) {
		var documents []int32
		if segment != nil {
			documents = make([]int32, segment.Len())
			g.must(tensor.ReadInts(g.Context(), g.oracle, segment, documents))
			documents[0] = -7 // any negative number is padding
			if h.Batch > 1 {
				documents[h.Keys+h.First] = 5 // a sequence of its own
			}
			g.must(tensor.WriteInts(g.Context(), g.oracle, segment, documents))
		}
		a := newAttended(g, h)
		scores, stats := g.junk(h.Batch*h.Heads*h.Queries, h.Keys), g.junk(h.Batch*h.Queries*h.Heads, 2)
		g.run(tensor.AttentionScores{Scores: scores, Q: a.q, K: a.k, Segment: segment, Heads: h},
			tensor.Attention{Z: a.z, Stats: stats, Q: a.q, K: a.k, V: a.v, Segment: segment, Heads: h},
			tensor.AttentionBackward{DQ: a.dq, DK: a.dk, DV: a.dv, DZ: a.dz, Z: a.z, Stats: stats, Q: a.q, K: a.k, V: a.v, Segment: segment, Heads: h})
		s, lse, z, dq := g.read(scores), g.read(stats), g.read(a.z), g.read(a.dq)
		for row := range h.Batch * h.Heads * h.Queries {
			b, head, i := row/(h.Heads*h.Queries), row/h.Queries%h.Heads, row%h.Queries
			blind := true
			for j := range h.Keys {
				want := sees(h, documents, b, i, j)
				blind = blind && !want
				if got := s[row*h.Keys+j] != inf; got != want {
					g.Errorf("batch %d, query %d, key %d: seen %v, want %v", b, i, j, got, want)
				}
			}
			query := (b*h.Queries+i)*h.Heads + head
			if (lse[2*query] == inf) != blind {
				g.Errorf("batch %d, query %d: LSE %v, sees nothing: %v", b, i, lse[2*query], blind)
			}
			if part := append(z[query*h.Dim:][:h.Dim:h.Dim], dq[query*h.Dim:][:h.Dim]...); blind && (slices.Max(part) != 0 || slices.Min(part) != 0) {
				g.Errorf("batch %d, query %d sees nothing, but has Z and DQ %v", b, i, part)
			}
		}
	})
}

// TestAddMeansAdd runs every operation that can add to its result both ways.
func TestAddMeansAdd(t *testing.T) {
	g := newGraph(t)
	names := map[string]bool{}
	b := spy{g.oracle, func(o tensor.Op) {
		if v := reflect.ValueOf(o).FieldByName("Add"); !v.IsValid() || o.Name() == "copy" { // which leaves rows as they are
			return
		}
		names[o.Name()] = true
		out := o.Operands()[0].Tensor
		g.run(with(o, "Add", false))
		set := g.read(out)
		before := g.read(g.normal(out.Shape...))
		g.write(out, before)
		g.run(with(o, "Add", true))
		for i, got := range g.read(out) {
			if want := before[i] + set[i]; !(math.Abs(got-want) <= 1e-12*max(1, math.Abs(want))) { // two orders of summation
				t.Fatalf("%s: %v plus %v gives %v", o.Name(), before[i], set[i], got)
			}
		}
	}}
	for _, c := range firstCases(30) {
		if _, err := c.Run(t.Context(), b); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
	if len(names) != 13 {
		t.Errorf("tried %v", names)
	}
}

// firstCases returns the first n cases of each operation.
func firstCases(n int) []optest.Case {
	var some []optest.Case
	count := map[string]int{}
	for _, c := range optest.Cases() {
		name, _, _ := strings.Cut(c.Name, "/")
		if count[name]++; count[name] <= n {
			some = append(some, c)
		}
	}
	return some
}

// TestCrossEntropyInParts compares the summary of logits in one part and in many.
func TestCrossEntropyInParts(t *testing.T) {
	const m, vocab = 5, 23
	g := newGraph(t)
	logits := g.read(g.normal(m, vocab))
	targets := g.ints(0, 22, -1, 9, 10)
	summary := func(cuts ...int) []float64 {
		stats := g.junk(m, tensor.StatsWidth)
		for n, first := range cuts[:len(cuts)-1] {
			part := g.junk(m, cuts[n+1]-first)
			var values []float64
			for row := range m {
				values = append(values, logits[row*vocab+first:row*vocab+cuts[n+1]]...)
			}
			g.write(part, values)
			g.run(tensor.CrossEntropy{Stats: stats, Logits: part, Targets: targets, First: first})
		}
		return g.read(stats)
	}
	want := summary(0, vocab)
	for row := range m {
		best := 0
		for v := range vocab {
			if logits[row*vocab+v] > logits[row*vocab+best] {
				best = v
			}
		}
		if got := want[4*row+3]; got != float64(best) {
			t.Errorf("row %d: argmax %v, want %d", row, got, best)
		}
	}
	if want[4*2+2] != 0 {
		t.Errorf("a masked row has the target's logit %v, want 0", want[4*2+2])
	}
	for _, cuts := range [][]int{{0, 1, vocab}, {0, 9, 10, 22, vocab}} {
		for i, got := range summary(cuts...) {
			if !(math.Abs(got-want[i]) <= 1e-13*max(1, math.Abs(want[i]))) { // two orders of summation
				t.Errorf("cut at %v, row %d, column %d: %v, want %v", cuts, i/4, i%4, got, want[i])
			}
		}
	}
}

func TestClipNorm(t *testing.T) {
	g := newGraph(t)
	for _, tt := range []struct {
		sums       []float64
		most       float32
		norm, clip float64
	}{
		{[]float64{9, 16}, 0, 5, 1},
		{[]float64{9, 16}, 10, 5, 1},
		{[]float64{9, 16}, 2.5, 5, 2.5 / (5 + 1e-6)},
		{[]float64{0}, 1, 0, 1},
		{[]float64{math.Inf(1)}, 1, math.Inf(1), 0},
		{[]float64{math.NaN()}, 1, math.NaN(), math.NaN()},
	} {
		sums, clip := g.junk(len(tt.sums)), g.junk(2)
		g.write(sums, tt.sums)
		g.run(tensor.ClipNorm{Clip: clip, Sums: sums, Max: tt.most})
		if got, want := fmt.Sprint(g.read(clip)), fmt.Sprint([]float64{tt.norm, tt.clip}); got != want {
			t.Errorf("sums %v clipped to %v: %s, want %s", tt.sums, tt.most, got, want)
		}
	}
}

// TestSumSquaresParts checks the division into parts where it doesn't come out.
func TestSumSquaresParts(t *testing.T) {
	g := newGraph(t)
	x, sums := g.junk(5), g.junk(4)
	g.write(x, []float64{1, 2, 3, 4, 5})
	g.run(tensor.SumSquares{Out: sums, X: x})
	if got := g.read(sums); !slices.Equal(got, []float64{1 + 4, 9 + 16, 25, 0}) {
		t.Errorf("sums %v", got)
	}
}

// TestNaNIsKept checks that reductions don't hide a NaN.
func TestNaNIsKept(t *testing.T) {
	b := newCPU(t, 1)
	nan := float32(math.NaN())
	x, out, sum := vector(t, b, nan, 2, 4), vector(t, b, 0, 2, 4), vector(t, b, 0, 1)
	h := tensor.Heads{Batch: 1, Queries: 2, Keys: 2, Heads: 1, KVHeads: 1, Dim: 4, Scale: 1}
	stats, ids := vector(t, b, 0, 2, 4), fresh(t, b, tensor.I32, 2)
	masked := vector(t, b, float32(math.Inf(-1)), 2, 4)
	if last, err := masked.Reshape(8); err != nil {
		t.Fatal(err)
	} else if last, err = last.Slice(3, 4); err != nil {
		t.Fatal(err)
	} else if err := submit(t.Context(), b, tensor.Fill{Out: last, Value: nan}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		op  tensor.Op
		out *tensor.Tensor
	}{
		{tensor.Softmax{Out: out, X: x}, out},
		{tensor.Softmax{Out: out, X: masked}, out},
		{tensor.RMSNorm{Out: out, RMS: vector(t, b, 0, 2), X: x, W: vector(t, b, 1, 4)}, out},
		{tensor.Attention{Z: out, Stats: vector(t, b, 0, 2, 2), Q: x, K: vector(t, b, 1, 2, 4), V: vector(t, b, 1, 2, 4), Heads: h}, out},
		{tensor.CrossEntropy{Stats: stats, Logits: x, Targets: ids}, stats},
		{tensor.SumSquares{Out: sum, X: x}, sum},
	} {
		if err := submit(t.Context(), b, tt.op); err != nil {
			t.Fatal(err)
		}
		if got := floats(t, b, tt.out)[0]; got == got {
			t.Errorf("%s of NaN is %v", tt.op.Name(), got)
		}
	}
}
