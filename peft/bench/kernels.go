package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// A workshop makes operations with the shapes of a model.
type workshop struct {
	ctx  context.Context
	b    tensor.Backend
	rng  *rand.Rand
	made []*tensor.Tensor
	err  error
}

// matrix makes one of random values; distinctRows of its rows differ.
func (w *workshop) matrix(dt tensor.DType, shape ...int) *tensor.Tensor {
	if w.err != nil {
		return nil
	}
	t, err := w.b.New("bench", dt, shape...)
	if err != nil {
		w.err = err
		return nil
	}
	w.made = append(w.made, t)
	rows, cols := t.Rows(), t.Cols()
	if len(shape) == 1 {
		rows, cols = 1, t.Len()
	}
	values := make([]float32, cols)
	var data []byte
	for range min(distinctRows, rows) {
		for i := range values {
			values[i] = float32(w.rng.NormFloat64())
		}
		data = tensor.Pack(data, dt, values)
	}
	for lo := 0; lo < rows && w.err == nil; lo += distinctRows {
		piece := t
		if len(shape) > 1 {
			if piece, w.err = t.Slice(lo, min(lo+distinctRows, rows)); w.err != nil {
				break
			}
		}
		w.err = w.b.Write(w.ctx, piece, data[:piece.Bytes()])
	}
	return t
}

func (w *workshop) f32(shape ...int) *tensor.Tensor { return w.matrix(tensor.F32, shape...) }

func (w *workshop) close() {
	for _, t := range w.made {
		_ = t.Close()
	}
	w.made = nil
}

// A bench is one operation to be timed; several of them, on other tensors, where one
// alone would stay in a cache.
type bench struct {
	name string
	make func(w *workshop) []tensor.Op
}

// coldBytes is more than caches of GPUs hold.
const coldBytes = 256 << 20

func kernels(ctx context.Context, b tensor.Backend, c Config) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		checkpoint, err := Model(c.Shape, c.Layers, c.DType)
		if err != nil {
			yield(Result{}, err)
			return
		}
		for _, x := range benches(checkpoint.Config, c) {
			r, err := x.run(ctx, b, c.Time)
			if errors.Is(err, tensor.ErrShape) { // rows are no whole blocks
				r.Dropped, err = err.Error(), nil
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func (x bench) run(ctx context.Context, b tensor.Backend, budget time.Duration) (Result, error) {
	r := Result{Name: x.name}
	w := &workshop{ctx: ctx, b: b, rng: rand.New(rand.NewPCG(3, 0))}
	defer w.close()
	ops := x.make(w)
	if w.err != nil {
		return r, w.err
	}
	r.Flops = ops[0].Flops()
	for _, o := range ops[0].Operands() {
		r.Bytes += float64(o.Tensor.Bytes())
		if o.Access == tensor.Update {
			r.Bytes += float64(o.Tensor.Bytes())
		}
	}
	call := func(n int) func() error {
		list := make([]tensor.Op, n)
		for i := range list {
			list[i] = ops[i%len(ops)]
		}
		return func() error {
			p := tensor.Begin(b)
			p.Do(list...)
			if err := p.Submit(ctx); err != nil {
				return err
			}
			return b.Sync(ctx)
		}
	}
	for range 2 { // the first compiles
		start := time.Now()
		if err := call(len(ops))(); err != nil {
			return r, err
		}
		r.Median = time.Since(start) / time.Duration(len(ops))
	}
	// many operations in a call: what is timed is them, not the call
	n := int(math.Ceil(float64(10*time.Millisecond) / float64(max(r.Median, time.Microsecond))))
	n = min(max(n, 1), 500)
	if err := r.repeat(budget, call(n)); err != nil {
		return r, err
	}
	each := time.Duration(n)
	r.Calls, r.Median, r.Best, r.CPU = r.Calls*n, r.Median/each, r.Best/each, r.CPU/each
	return r, nil
}

// benches are the operations of a block, its gradient and the head.
func benches(m *transformer.Config, c Config) []bench {
	n, d, f, v := c.Batch*c.Length, m.Hidden, m.FFN, m.VocabSize
	q, kv := m.Heads*m.HeadDim, m.KVHeads*m.HeadDim
	var all []bench
	add := func(name string, make func(w *workshop) []tensor.Op) { all = append(all, bench{name, make}) }
	projections := [][2]int{{d, q}, {d, kv}, {d, f}, {f, d}}
	if q == kv {
		projections = slices.Delete(projections, 1, 2)
	}
	for _, p := range projections {
		in, out := p[0], p[1]
		add(fmt.Sprintf("x·Wᵀ %v %d×%d×%d", c.DType, n, in, out), func(w *workshop) []tensor.Op {
			return []tensor.Op{tensor.MatMul{Out: w.f32(n, out), X: w.f32(n, in), W: w.matrix(c.DType, out, in)}}
		})
		add(fmt.Sprintf("dY·W %v %d×%d×%d", c.DType, n, out, in), func(w *workshop) []tensor.Op {
			return []tensor.Op{tensor.MatMulDX{DX: w.f32(n, in), DOut: w.f32(n, out), W: w.matrix(c.DType, out, in)}}
		})
	}
	for _, p := range append(slices.Clone(projections), [2]int{d, v}) {
		in, out := p[0], p[1]
		add(fmt.Sprintf("one token %v %d×%d", c.DType, in, out), func(w *workshop) []tensor.Op {
			copies := 1
			if b := w.b.Info(); b.Kind == "gpu" && b.Type != "cpu" {
				copies = int(max(1, coldBytes/c.DType.Bytes(in*out)))
			}
			x, y := w.f32(1, in), w.f32(1, out)
			var ops []tensor.Op
			for range copies {
				ops = append(ops, tensor.MatMul{Out: y, X: x, W: w.matrix(c.DType, out, in)})
			}
			return ops
		})
	}
	const r = 8
	add(fmt.Sprintf("lora A %d×%d×%d", n, d, r), func(w *workshop) []tensor.Op {
		return []tensor.Op{tensor.MatMul{Out: w.f32(n, r), X: w.f32(n, d), W: w.f32(r, d)}}
	})
	add(fmt.Sprintf("lora B %d×%d×%d", n, r, q), func(w *workshop) []tensor.Op {
		return []tensor.Op{tensor.MatMul{Out: w.f32(n, q), X: w.f32(n, r), W: w.f32(q, r), Add: true}}
	})
	add(fmt.Sprintf("lora dB %d×%d×%d", q, n, r), func(w *workshop) []tensor.Op {
		return []tensor.Op{tensor.MatMulDW{DW: w.f32(q, r), DOut: w.f32(n, q), X: w.f32(n, r)}}
	})
	add(fmt.Sprintf("lora dA %d×%d×%d", r, n, d), func(w *workshop) []tensor.Op {
		return []tensor.Op{tensor.MatMulDW{DW: w.f32(r, d), DOut: w.f32(n, r), X: w.f32(n, d)}}
	})
	h := tensor.Heads{Batch: c.Batch, Queries: c.Length, Keys: c.Length, Heads: m.Heads, KVHeads: m.KVHeads, Dim: m.HeadDim, Scale: m.AttnScale}
	attention := func(w *workshop) tensor.Attention {
		return tensor.Attention{Heads: h, Z: w.f32(n, q), Stats: w.f32(n*m.Heads, 2), Q: w.f32(n, q), K: w.f32(n, kv), V: w.f32(n, kv)}
	}
	add(fmt.Sprintf("attention %d×%d, %d heads of %d", c.Batch, c.Length, m.Heads, m.HeadDim), func(w *workshop) []tensor.Op {
		return []tensor.Op{attention(w)}
	})
	add("attention backward", func(w *workshop) []tensor.Op {
		a := attention(w)
		return []tensor.Op{tensor.AttentionBackward{
			Heads: h, DQ: w.f32(n, q), DK: w.f32(n, kv), DV: w.f32(n, kv),
			DZ: w.f32(n, q), Z: a.Z, Stats: a.Stats, Q: a.Q, K: a.K, V: a.V,
		}}
	})
	add(fmt.Sprintf("rmsnorm %d×%d", n, d), func(w *workshop) []tensor.Op {
		return []tensor.Op{tensor.RMSNorm{Out: w.f32(n, d), RMS: w.f32(n), X: w.f32(n, d), W: w.f32(d), Eps: 1e-5}}
	})
	add(fmt.Sprintf("gated mlp %d×%d", n, f), func(w *workshop) []tensor.Op {
		return []tensor.Op{tensor.Gated{Out: w.f32(n, f), Gate: w.f32(n, f), Up: w.f32(n, f), Act: m.Act}}
	})
	add(fmt.Sprintf("add %d×%d", n, d), func(w *workshop) []tensor.Op {
		return []tensor.Op{tensor.Add{Out: w.f32(n, d), A: w.f32(n, d), B: w.f32(n, d)}}
	})
	return all
}
