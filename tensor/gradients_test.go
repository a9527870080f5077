package tensor_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// gradients builds the forward and the backward of every differentiable
// operation.
var gradients = map[string]func(g *graph) (forward, backward []tensor.Op){
	"matmul": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(5, 7)
		w, dw := g.input(3, 7)
		y, dy := g.result(5, 3)
		return ops(tensor.MatMul{Out: y, X: x, W: w, Scale: -1.5}),
			ops(tensor.MatMulDX{DX: dx, DOut: dy, W: w, Scale: -1.5}, tensor.MatMulDW{DW: dw, DOut: dy, X: x, Scale: -1.5})
	},
	"matmul twice": func(g *graph) (_, _ []tensor.Op) { // y = x·aᵀ + 2·x·bᵀ
		x, dx := g.input(4, 6)
		a, da := g.input(3, 6)
		b, db := g.input(3, 6)
		y, dy := g.result(4, 3)
		return ops(tensor.MatMul{Out: y, X: x, W: a}, tensor.MatMul{Out: y, X: x, W: b, Scale: 2, Add: true}),
			ops(tensor.MatMulDX{DX: dx, DOut: dy, W: a}, tensor.MatMulDX{DX: dx, DOut: dy, W: b, Scale: 2, Add: true},
				tensor.MatMulDW{DW: da, DOut: dy, X: x}, tensor.Fill{Out: db}, tensor.MatMulDW{DW: db, DOut: dy, X: x, Scale: 2, Add: true})
	},
	"embed": func(g *graph) (_, _ []tensor.Op) {
		table, dtable := g.input(5, 3)
		extra, dextra := g.input(2, 3)
		y, dy := g.result(7, 3)
		ids := g.ints(4, -1, 0, 4, -2, -1, 2)
		return ops(tensor.Embed{Out: y, IDs: ids, Table: table, Extra: extra, Scale: 3, ExtraScale: 0.5}),
			ops(tensor.EmbedBackward{DTable: dtable, DOut: dy, IDs: ids, Scale: 3},
				tensor.EmbedBackward{DTable: dextra, DOut: dy, IDs: ids, Scale: 0.5, Extra: true})
	},
	"gather": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(4, 3)
		y, dy := g.result(5, 3)
		return ops(tensor.Gather{Out: y, X: x, Rows: g.ints(2, -1, 0, -1, 3)}),
			ops(tensor.Gather{Out: dx, X: dy, Rows: g.ints(2, -1, 0, 4)})
	},
	"copy": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(7, 3)
		y, dy := g.result(8, 3)
		c := tensor.Copy{Dst: y, Src: x, Batch: 2, Rows: 2, DstStride: 4, DstFirst: 1, SrcStride: 3, SrcFirst: 1}
		back := tensor.Copy{Dst: dx, Src: dy, Batch: 2, Rows: 2, DstStride: 3, DstFirst: 1, SrcStride: 4, SrcFirst: 1}
		return ops(tensor.Fill{Out: y, Value: 2}, c), ops(tensor.Fill{Out: dx}, back)
	},
	"rmsnorm llama": func(g *graph) (_, _ []tensor.Op) { return rmsNorm(g, 0, false) },
	"rmsnorm gemma": func(g *graph) (_, _ []tensor.Op) { return rmsNorm(g, 1, true) },
	"rope": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(3, 12)
		y, dy := g.result(3, 12)
		table, pos := angles(g, 9, 6), g.ints(8, 0, 3)
		return ops(tensor.RoPE{Out: y, X: x, Table: table, Pos: pos}),
			ops(tensor.RoPE{Out: dx, X: dy, Table: table, Pos: pos, Inverse: true})
	},
	"rope added": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(3, 8)
		y, dy := g.result(3, 8)
		table, pos := angles(g, 9, 4), g.ints(8, 0, 3)
		return ops(tensor.Scale{Out: y, X: x, Factor: 3}, tensor.RoPE{Out: y, X: x, Table: table, Pos: pos, Add: true}),
			ops(tensor.Scale{Out: dx, X: dy, Factor: 3}, tensor.RoPE{Out: dx, X: dy, Table: table, Pos: pos, Inverse: true, Add: true})
	},
	"softmax": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(4, 5)
		y, dy := g.result(4, 5)
		return ops(tensor.Softmax{Out: y, X: x}), ops(tensor.SoftmaxBackward{DX: dx, DOut: dy, Out: y})
	},
	"gated silu": func(g *graph) (_, _ []tensor.Op) { return gated(g, tensor.SiLU) },
	"gated gelu": func(g *graph) (_, _ []tensor.Op) { return gated(g, tensor.GELUTanh) },
	"add and scale": func(g *graph) (_, _ []tensor.Op) { // y = a + b + 3·a
		a, da := g.input(4, 5)
		b, db := g.input(4, 5)
		y, dy := g.result(4, 5)
		return ops(tensor.Add{Out: y, A: a, B: b}, tensor.Scale{Out: y, X: a, Factor: 3, Add: true}),
			ops(tensor.Scale{Out: db, X: dy, Factor: 1}, tensor.Scale{Out: da, X: dy, Factor: 1}, tensor.Scale{Out: da, X: dy, Factor: 3, Add: true})
	},
	"gated others": func(g *graph) (forward, backward []tensor.Op) {
		for _, a := range tensor.Activations() {
			f, b := gated(g, a)
			forward, backward = append(forward, f...), append(backward, b...)
		}
		return forward, backward
	},
	"activation alone": func(g *graph) (forward, backward []tensor.Op) {
		for _, a := range tensor.Activations() {
			x, dx := g.input(3, 7)
			y, dy := g.result(3, 7)
			forward = append(forward, tensor.Gated{Out: y, Gate: x, Act: a})
			backward = append(backward, tensor.GatedBackward{DGate: dx, DOut: dy, Gate: x, Act: a})
		}
		return forward, backward
	},
	"embed without extra": func(g *graph) (_, _ []tensor.Op) {
		table, dtable := g.input(5, 3)
		y, dy := g.result(4, 3)
		ids := g.ints(4, -1, 0, -7)
		return ops(tensor.Embed{Out: y, IDs: ids, Table: table}), ops(tensor.EmbedBackward{DTable: dtable, DOut: dy, IDs: ids})
	},
	"copy to all": func(g *graph) (_, _ []tensor.Op) { // the same rows in front of each sequence
		x, dx := g.input(2, 3)
		y, dy := g.result(12, 3)
		c := tensor.Copy{Dst: y, Src: x, Batch: 3, Rows: 2, DstStride: 4, DstFirst: 1}
		back := tensor.Copy{Dst: dx, Src: dy, Batch: 3, Rows: 2, SrcStride: 4, SrcFirst: 1, Add: true}
		return ops(tensor.Fill{Out: y}, c), ops(tensor.Fill{Out: dx}, back)
	},
	"columns": func(g *graph) (_, _ []tensor.Op) { // y = b + s·x
		x, dx := g.input(4, 5)
		s, ds := g.input(5)
		b, db := g.input(5)
		y, dy := g.result(4, 5)
		return ops(tensor.Copy{Dst: y, Src: reshaped(g, b, 1, 5), Batch: 4, Rows: 1, DstStride: 1}, tensor.ColumnScale{Out: y, X: x, S: s, Add: true}),
			ops(tensor.ColumnScale{Out: dx, X: dy, S: s}, tensor.ColumnSums{Out: ds, A: dy, B: x}, tensor.ColumnSums{Out: db, A: dy})
	},
	"norm in steps": func(g *graph) (_, _ []tensor.Op) { // y = x/rms(x)
		x, dx := g.input(4, 5)
		s, ds := g.junk(4), g.junk(4)
		y, dy := g.result(4, 5)
		return ops(tensor.RMS{Out: s, X: x, Eps: 0.1}, tensor.RowDivide{Out: y, X: x, S: s}),
			ops(tensor.RowDivide{Out: dx, X: dy, S: s}, tensor.RowDivideDS{DS: ds, DOut: dy, X: x, S: s}, tensor.RMSBackward{DX: dx, DOut: ds, X: x, Eps: 0.1})
	},
	"edit": func(g *graph) (_, _ []tensor.Op) { // y = f·x + b
		x, dx := g.input(4, 5)
		b, db := g.input(4, 5)
		f := g.junk(4, 5)
		y, dy := g.result(4, 5)
		return ops(tensor.Fill{Out: f, Value: 0.7}, tensor.Scale{Out: y, X: x, Factor: 1}, tensor.Edit{X: y, Factor: f, Shift: b}),
			ops(tensor.Scale{Out: db, X: dy, Factor: 1}, tensor.Scale{Out: dx, X: dy, Factor: 1}, tensor.Edit{X: dx, Factor: f})
	},
	"dropout": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(4, 15)
		y, dy := g.result(4, 15)
		d := tensor.Dropout{Out: y, X: x, P: 0.3, Seed: 7}
		back := d
		back.Out, back.X = dx, dy
		return ops(d), ops(back)
	},
	"divroot": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(6)
		y, dy := g.result(6)
		s := g.fill(func() float64 { return 0.5 + g.Float64() }, 6)
		return ops(tensor.DivRoot{Out: y, X: x, S: s}), ops(tensor.DivRoot{Out: dx, X: dy, S: s})
	},
	"lstm":         func(g *graph) (_, _ []tensor.Op) { return lstm(g, false) },
	"lstm reverse": func(g *graph) (_, _ []tensor.Op) { return lstm(g, true) },
	"softcap": func(g *graph) (_, _ []tensor.Op) {
		x, dx := g.input(20)
		y, dy := g.result(20)
		return ops(tensor.SoftCap{Out: y, X: x, Cap: 1.25}), ops(tensor.SoftCapBackward{DX: dx, DOut: dy, Out: y, Cap: 1.25})
	},
	"crossentropy in one part":    func(g *graph) (_, _ []tensor.Op) { return crossEntropy(g, 0, 11) },
	"crossentropy in two parts":   func(g *graph) (_, _ []tensor.Op) { return crossEntropy(g, 0, 4, 7) },
	"crossentropy in three parts": func(g *graph) (_, _ []tensor.Op) { return crossEntropy(g, 2, 1, 5, 5) },
}

func ops(list ...tensor.Op) []tensor.Op { return list }

func rmsNorm(g *graph, offset float32, add bool) (_, _ []tensor.Op) {
	x, dx := g.input(5, 6)
	w, dw := g.input(6)
	y, dy := g.result(5, 6)
	rms := g.junk(5)
	return ops(tensor.RMSNorm{Out: y, RMS: rms, X: x, W: w, Eps: 1e-5, Offset: offset}),
		ops(tensor.Fill{Out: dx}, tensor.RMSNormDX{DX: dx, DOut: dy, X: x, W: w, RMS: rms, Offset: offset, Add: add},
			tensor.Fill{Out: dw}, tensor.RMSNormDW{DW: dw, DOut: dy, X: x, RMS: rms, Add: add})
}

func gated(g *graph, a tensor.Activation) (_, _ []tensor.Op) {
	gate, dgate := g.input(4, 20)
	up, dup := g.input(4, 20)
	y, dy := g.result(4, 20)
	return ops(tensor.Gated{Out: y, Gate: gate, Up: up, Act: a}),
		ops(tensor.GatedBackward{DGate: dgate, DUp: dup, DOut: dy, Gate: gate, Up: up, Act: a})
}

// lstm takes W's gradient from the hidden rows moved on by one.
func lstm(g *graph, reverse bool) (_, _ []tensor.Op) {
	const rows, h = 5, 3
	x, dx := g.input(rows, 4*h)
	w, dw := g.input(4*h, h)
	y, dy := g.result(rows, h)
	c, gates, dc, before := g.junk(rows, h), g.junk(rows, 4*h), g.junk(rows, h), g.junk(rows, h)
	shift := tensor.Copy{Dst: before, Src: y, Batch: 1, Rows: rows - 1, DstFirst: 1}
	if reverse {
		shift.DstFirst, shift.SrcFirst = 0, 1
	}
	return ops(tensor.LSTM{H: y, C: c, Gates: gates, X: x, W: w, Reverse: reverse}),
		ops(tensor.LSTMBackward{DX: dx, DC: dc, DH: dy, C: c, Gates: gates, W: w, Reverse: reverse},
			tensor.Fill{Out: before}, shift, tensor.MatMulDW{DW: dw, DOut: dx, X: before})
}

func reshaped(g *graph, t *tensor.Tensor, shape ...int) *tensor.Tensor {
	v, err := t.Reshape(shape...)
	g.must(err)
	return v
}

// angles makes a table of rotations, for heads of size h.
func angles(g *graph, positions, h int) *tensor.Tensor {
	table := g.junk(positions, h)
	values := make([]float64, positions*h)
	for i := range values {
		angle := float64(i/h) / math.Pow(10, float64(i%h%(h/2)))
		values[i] = math.Cos(angle)
		if i%h >= h/2 {
			values[i] = math.Sin(angle)
		}
	}
	g.write(table, values)
	return table
}

// crossEntropy takes the mean loss of logits in parts of the given widths. The
// backward pass replaces logits, so it works on a copy.
func crossEntropy(g *graph, limit float32, widths ...int) (forward, backward []tensor.Op) {
	const m, scale = 4, 0.25
	stats, targets := g.junk(m, tensor.StatsWidth), []int32{3, -1, 0, 10}
	ids := g.ints(targets...)
	first := 0
	for _, c := range widths {
		x, dx := g.input(m, c)
		forward = append(forward, tensor.CrossEntropy{Stats: stats, Logits: x, Targets: ids, First: first, SoftCap: limit})
		backward = append(backward, tensor.Scale{Out: dx, X: x, Factor: 1},
			tensor.CrossEntropyBackward{Logits: dx, Stats: stats, Targets: ids, First: first, SoftCap: limit, Scale: scale})
		first += c
	}
	g.loss = func() float64 {
		var sum float64
		s := g.read(stats)
		for i, target := range targets {
			if target >= 0 {
				sum += scale * (math.Log(s[4*i+1]) + s[4*i] - s[4*i+2])
			}
		}
		return sum
	}
	return forward, backward
}

func TestGradients(t *testing.T) {
	for name, build := range gradients {
		t.Run(name, func(t *testing.T) {
			g := newGraph(t)
			g.check(build(g))
		})
	}
}

// undifferentiated are operations that nothing goes back through, and why.
var undifferentiated = map[string]string{
	"AttentionFeatures": "numbers to look at",
	"SumSquares":        "of gradients", "ClipNorm": "of gradients",
	"AdamW": "optimizer", "AdamW8": "optimizer", "Adafactor": "optimizer", "Lion": "optimizer", "SGD": "optimizer",
}

// TestEveryGradientIsChecked: each operation of the package is in a graph of TestGradients,
// TestAttentionGradients or TestPatternGradients, or can't be.
func TestEveryGradientIsChecked(t *testing.T) {
	checked := map[string]bool{}
	collect := func(forward, backward []tensor.Op) {
		for _, o := range append(forward, backward...) {
			checked[reflect.TypeOf(o).Name()] = true
		}
	}
	g := newGraph(t)
	for _, build := range gradients {
		collect(build(g))
	}
	h := geometries["causal"]
	collect(newAttended(g, h).streamed(g, h, nil))
	collect(newAttended(g, h).stepwise(g, h, nil))
	every := operations(t)
	if len(every) < 40 {
		t.Errorf("only %d operations found", len(every))
	}
	for _, name := range every {
		if checked[name] == (undifferentiated[name] != "") {
			t.Errorf("%s: checked is %v, left out for %q", name, checked[name], undifferentiated[name])
		}
	}
}

// operations are the types of the package's source that have an operation's methods.
func operations(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	method := regexp.MustCompile(`(?m)^func \(\w* ?([A-Z]\w*)\) Operands\(\) \[\]Operand`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range method.FindAllStringSubmatch(string(source), -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// geometries are kinds of attention: grouped heads with every way to hide keys.
var geometries = map[string]tensor.Heads{
	"causal":  {Batch: 2, Queries: 5, Keys: 5, Heads: 2, KVHeads: 2, Dim: 3},
	"grouped": {Batch: 1, Queries: 4, Keys: 4, Heads: 4, KVHeads: 2, Dim: 2},
	"shared":  {Batch: 2, Queries: 3, Keys: 3, Heads: 3, KVHeads: 1, Dim: 5},
	"window":  {Batch: 1, Queries: 7, Keys: 7, Heads: 1, KVHeads: 1, Dim: 4, Window: 3},
	"softcap": {Batch: 1, Queries: 5, Keys: 5, Heads: 2, KVHeads: 1, Dim: 4, SoftCap: 1.5},
	"prefix":  {Batch: 2, Queries: 4, Keys: 6, First: 2, Prefix: 2, Heads: 2, KVHeads: 1, Dim: 4, Window: 2},
	"cache":   {Batch: 2, Queries: 2, Keys: 9, First: 5, Heads: 2, KVHeads: 2, Dim: 3},
	"decode":  {Batch: 1, Queries: 1, Keys: 6, First: 4, Heads: 2, KVHeads: 1, Dim: 7},
	"blocks":  {Batch: 1, Queries: 80, Keys: 100, First: 12, Heads: 2, KVHeads: 1, Dim: 2, Window: 30},
	"cross":   {Batch: 2, Queries: 9, Keys: 4, Prefix: 4, Heads: 2, KVHeads: 1, Dim: 3, SoftCap: 2},
	"ahead":   {Batch: 1, Queries: 70, Keys: 80, First: 5, Prefix: 78, Heads: 2, KVHeads: 1, Dim: 2},
}

// documents numbers the keys of each sequence: padding, two documents, padding.
func documents(g *graph, h tensor.Heads) *tensor.Tensor {
	values := make([]int32, h.Batch*h.Keys)
	for i := range values {
		switch j := i % h.Keys; {
		case j == 0 || j == h.Keys-1:
			values[i] = -1
		case j > h.Keys/2:
			values[i] = 1
		}
	}
	return g.ints(values...)
}

// everyGeometry runs f with and without documents.
func everyGeometry(t *testing.T, f func(g *graph, h tensor.Heads, segment *tensor.Tensor)) {
	for name, h := range geometries {
		h.Scale = 0.7
		for _, documented := range []bool{false, true} {
			if documented && h.Prefix == h.Keys {
				continue
			}
			t.Run(fmt.Sprintf("%s/documents=%v", name, documented), func(t *testing.T) {
				g := newGraph(t)
				var segment *tensor.Tensor
				if documented {
					segment = documents(g, h)
				}
				f(g, h, segment)
			})
		}
	}
}

// attended holds the operands of an attention and their gradients.
type attended struct {
	q, dq, k, dk, v, dv, z, dz *tensor.Tensor
}

func newAttended(g *graph, h tensor.Heads) (a attended) {
	a.q, a.dq = g.input(h.Batch*h.Queries, h.Heads*h.Dim)
	a.k, a.dk = g.input(h.Batch*h.Keys, h.KVHeads*h.Dim)
	a.v, a.dv = g.input(h.Batch*h.Keys, h.KVHeads*h.Dim)
	a.z, a.dz = g.result(h.Batch*h.Queries, h.Heads*h.Dim)
	return a
}

// streamed is attention in one step.
func (a attended) streamed(g *graph, h tensor.Heads, segment *tensor.Tensor) (forward, backward []tensor.Op) {
	stats := g.junk(h.Batch*h.Queries*h.Heads, 2)
	return ops(tensor.Attention{Z: a.z, Stats: stats, Q: a.q, K: a.k, V: a.v, Segment: segment, Heads: h}),
		ops(tensor.AttentionBackward{
			DQ: a.dq, DK: a.dk, DV: a.dv, DZ: a.dz, Z: a.z, Stats: stats,
			Q: a.q, K: a.k, V: a.v, Segment: segment, Heads: h,
		})
}

// stepwise is attention with the matrix of scores.
func (a attended) stepwise(g *graph, h tensor.Heads, segment *tensor.Tensor) (forward, backward []tensor.Op) {
	square := []int{h.Batch * h.Heads * h.Queries, h.Keys}
	scores, pattern := g.junk(square...), g.junk(square...)
	dscores, dpattern := g.junk(square...), g.junk(square...)
	return ops(
			tensor.AttentionScores{Scores: scores, Q: a.q, K: a.k, Segment: segment, Heads: h},
			tensor.Softmax{Out: pattern, X: scores},
			tensor.AttentionMix{Z: a.z, Pattern: pattern, V: a.v, Heads: h},
		), ops(
			tensor.AttentionMixBackward{DPattern: dpattern, DV: a.dv, DZ: a.dz, Pattern: pattern, V: a.v, Heads: h},
			tensor.SoftmaxBackward{DX: dscores, DOut: dpattern, Out: pattern},
			tensor.AttentionScoresBackward{DQ: a.dq, DK: a.dk, DScores: dscores, Scores: scores, Q: a.q, K: a.k, Heads: h},
		)
}

func TestAttentionGradients(t *testing.T) {
	everyGeometry(t, func(g *graph, h tensor.Heads, segment *tensor.Tensor) {
		g.check(newAttended(g, h).streamed(g, h, segment))
	})
}

func TestPatternGradients(t *testing.T) {
	everyGeometry(t, func(g *graph, h tensor.Heads, segment *tensor.Tensor) {
		g.check(newAttended(g, h).stepwise(g, h, segment))
	})
}

// TestStreamedAttentionIsStepwise compares results and gradients of the two ways
// to compute attention.
func TestStreamedAttentionIsStepwise(t *testing.T) {
	everyGeometry(t, func(g *graph, h tensor.Heads, segment *tensor.Tensor) {
		a := newAttended(g, h)
		var want [][]float64
		forward, backward := a.streamed(g, h, segment)
		g.run(append(forward, backward...)...)
		for _, x := range []*tensor.Tensor{a.z, a.dq, a.dk, a.dv} {
			want = append(want, g.read(x))
		}
		forward, backward = a.stepwise(g, h, segment)
		g.run(append(forward, backward...)...)
		for n, x := range []*tensor.Tensor{a.z, a.dq, a.dk, a.dv} {
			for i, v := range g.read(x) {
				if !(math.Abs(v-want[n][i]) <= 1e-13) { // rounding of O(1) numbers
					g.Fatalf("tensor %d, value %d: %v in steps, %v streamed", n, i, v, want[n][i])
				}
			}
		}
	})
}
