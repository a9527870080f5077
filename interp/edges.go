package interp

import (
	"context"
	"errors"
	"fmt"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Node is a part of a model that writes to the stream, or reads from it: with the point
// Embed, the embedding; Z, a head's output; Q, K and V, a head's inputs (of a key head for K and
// V); MLPOut and Norm2, an MLP's output and input; UnembedIn, the end.
type Node struct {
	Layer, Head int
	Point       transformer.Point
}

// String is as in "embed", "L3H1", "L3H1.q", "L3.mlp", "logits".
func (n Node) String() string {
	head := HeadAt{n.Layer, n.Head}.String()
	switch n.Point {
	case transformer.Embed:
		return "embed"
	case transformer.UnembedIn:
		return "logits"
	case transformer.MLPOut, transformer.Norm2:
		return fmt.Sprintf("L%d.mlp", n.Layer)
	case transformer.Q:
		return head + ".q"
	case transformer.K:
		return head + ".k"
	case transformer.V:
		return head + ".v"
	}
	return head
}

// before says whether what n writes is read by to.
func (n Node) before(to Node) bool {
	switch {
	case n.Point == transformer.Embed || to.Point == transformer.UnembedIn:
		return true
	case n.Layer == to.Layer:
		return n.Point == transformer.Z && to.Point == transformer.Norm2
	}
	return n.Layer < to.Layer
}

// Edge is a way from one node to another.
type Edge struct {
	From, To Node
	Score    float64
}

// Edges estimates for every edge how the metric of the clean sequences changes if what goes
// along it is that of the corrupted ones (edge attribution patching, Syed et al. 2023, arXiv
// 2310.10348): (writer corrupted − writer clean)·∂metric/∂reader, the gradient being that of the
// stream as that reader alone sees it. With more than one step, the gradient is the mean over
// embeddings on the way from clean to corrupted (EAP-IG, Hanna et al. 2024, arXiv 2403.17806).
// The weights are the model's own: merge an adapter to see its edges.
func Edges(ctx context.Context, m *transformer.Model, clean, corrupted [][]int32, metric Metric, steps int) ([]Edge, error) {
	if steps < 1 {
		return nil, fmt.Errorf("edges in %d steps: %w", steps, transformer.ErrInput)
	}
	right, err := cleanRun(ctx, m, clean, corrupted, "*", Options{})
	if err != nil {
		return nil, err
	}
	wrong, err := cleanRun(ctx, m, corrupted, clean, "*", Options{})
	if err != nil {
		return nil, err
	}
	e := &edges{weights: newWeights(ctx, m), size: len(clean) * len(clean[0]) * m.Config.Hidden}
	e.writers(right, wrong)
	for s := range steps {
		trace, err := Capture(ctx, m, clean, Options{Hooks: []string{"*"}, Metric: metric, Edits: between(right, wrong, float32(s)/float32(steps))})
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		e.readers(trace, 1/float32(steps))
	}
	list := e.products()
	return list, e.close()
}

// between puts embeddings a part of the way from clean to corrupted.
func between(clean, corrupted *Trace, part float32) []Edit {
	const hook = "hook_embed"
	if part == 0 {
		return nil
	}
	way := make([]float32, len(clean.Activations[hook].Values))
	for i, v := range clean.Activations[hook].Values {
		way[i] = part * (corrupted.Activations[hook].Values[i] - v)
	}
	return []Edit{{Hook: hook, Change: Add(way...)}}
}

// edges collects the changes of writers and the gradients of readers.
type edges struct {
	*weights
	size     int // of the stream
	from, to []Node
	changes  []float32 // [from, size]
	grads    []float32 // [to, size]
}

// writers computes what each node writes differently in the corrupted run.
func (e *edges) writers(right, wrong *Trace) {
	difference := func(hook string) []float32 {
		d := make([]float32, len(right.Activations[hook].Values))
		for i, v := range wrong.Activations[hook].Values {
			d[i] = v - right.Activations[hook].Values[i]
		}
		return d
	}
	add := func(n Node, change []float32) { e.from, e.changes = append(e.from, n), append(e.changes, change...) }
	add(Node{Point: transformer.Embed}, difference("hook_embed"))
	for l := range e.c.Layers {
		a, b := e.perScale(right, l), e.perScale(wrong, l)
		for i := range a {
			b[i] -= a[i]
		}
		for h := range e.c.Heads {
			add(Node{l, h, transformer.Z}, e.output(l, e.only(b, e.c.Heads, h)))
		}
		if e.c.FFN > 0 {
			add(Node{Layer: l, Point: transformer.MLPOut}, difference(transformer.Site{Layer: l, Point: transformer.MLPOut}.String()))
		}
	}
}

// perScale is z, over the divisor of Gemma 2's norm behind the output matrix: what the
// output is linear in.
func (e *edges) perScale(t *Trace, l int) []float32 {
	z := append([]float32(nil), t.Activations[zHook(l)].Values...)
	if scale := t.Activations[(transformer.Site{Layer: l, Point: transformer.Norm1PostScale}).String()].Values; scale != nil {
		per := len(z) / len(scale)
		for i := range z {
			z[i] /= scale[i/per]
		}
	}
	return z
}

// only keeps one head of values [N, heads, h].
func (e *edges) only(x []float32, heads, head int) []float32 {
	out, dim := make([]float32, len(x)), e.c.HeadDim
	for i := head * dim; i < len(x); i += heads * dim {
		copy(out[i:i+dim], x[i:i+dim])
	}
	return out
}

// output is z·W_O as it comes to the stream.
func (e *edges) output(l int, z []float32) []float32 {
	n, layer := len(e.tensors), &e.m.Weights.Layers[l]
	in := e.upload(z, e.c.Heads*e.c.HeadDim)
	if e.err != nil {
		return nil
	}
	out := e.new(in.Rows(), e.c.Hidden)
	if e.err == nil {
		e.do(tensor.MatMul{Out: out, X: in, W: layer.Proj[transformer.OProj]})
	}
	return e.read(e.weigh(out, layer.Norm1Post), n)
}

// readers adds a share of the gradient of the stream as each node reads it.
func (e *edges) readers(t *Trace, share float32) {
	first := e.to == nil
	at := 0
	add := func(n Node, grad []float32) {
		if e.err != nil {
			return
		}
		if first {
			e.to, e.grads = append(e.to, n), append(e.grads, make([]float32, e.size)...)
		}
		for i, g := range grad {
			e.grads[at+i] += share * g
		}
		at += e.size
	}
	gradient := func(l int, p transformer.Point) []float32 {
		return t.Gradients[transformer.Site{Layer: l, Point: p}.String()].Values
	}
	for l := range e.c.Layers {
		layer := &e.m.Weights.Layers[l]
		for _, p := range []struct {
			point transformer.Point
			proj  transformer.Proj
			heads int
		}{{transformer.Q, transformer.QProj, e.c.Heads}, {transformer.K, transformer.KProj, e.c.KVHeads}, {transformer.V, transformer.VProj, e.c.KVHeads}} {
			for h := range p.heads {
				n := len(e.tensors)
				d := e.upload(e.only(gradient(l, p.point), p.heads, h), p.heads*e.c.HeadDim)
				if e.err != nil {
					return
				}
				normed := e.new(d.Rows(), e.c.Hidden)
				if e.err == nil {
					e.do(tensor.MatMulDX{DX: normed, DOut: d, W: layer.Proj[p.proj]})
				}
				add(Node{l, h, p.point}, e.read(e.throughNorm(t, l, normed, layer.Norm1, transformer.ResidPre, transformer.Norm1Scale), n))
			}
		}
		if e.c.FFN == 0 {
			continue
		}
		n := len(e.tensors)
		d := e.upload(gradient(l, transformer.Norm2), e.c.Hidden)
		add(Node{Layer: l, Point: transformer.Norm2}, e.read(e.throughNorm(t, l, d, layer.Norm2, transformer.ResidMid, transformer.Norm2Scale), n))
	}
	add(Node{Point: transformer.UnembedIn}, gradient(len(e.c.Layers)-1, transformer.ResidPost))
}

// throughNorm takes a gradient back through a norm to the stream.
func (e *edges) throughNorm(t *Trace, l int, d, w *tensor.Tensor, stream, scale transformer.Point) *tensor.Tensor {
	if w == nil { // nothing is normalised
		return d
	}
	values := func(p transformer.Point) []float32 {
		return t.Activations[transformer.Site{Layer: l, Point: p}.String()].Values
	}
	x, rms := e.upload(values(stream), e.c.Hidden), e.upload(values(scale), 1)
	if e.err != nil {
		return nil
	}
	out := e.new(x.Rows(), e.c.Hidden)
	if e.err == nil {
		e.do(tensor.RMSNormDX{DX: out, DOut: d, X: x, W: w, RMS: rms, Offset: e.c.NormOffset})
	}
	return out
}

// products multiplies the changes with the gradients, for the edges that there are.
func (e *edges) products() []Edge {
	if e.err != nil {
		return nil
	}
	u, v := e.upload(e.changes, e.size), e.upload(e.grads, e.size)
	scores := e.read(e.times(u, v), 0)
	if e.err != nil {
		return nil
	}
	var list []Edge
	for i, from := range e.from {
		for j, to := range e.to {
			if from.before(to) {
				list = append(list, Edge{from, to, float64(scores[i*len(e.to)+j])})
			}
		}
	}
	return list
}
