package interp

import (
	"context"
	"errors"

	"gonum.org/v1/gonum/mat"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Weights as scores want them: in float32 whatever they are stored in, the norms folded
// in. In the notation of the literature, with x·W: queries, keys and values of head h
// are x·W_Q, x·W_K, x·W_V of the normalised stream, the norm's weight being part of
// them; its output is z·W_O, times the weight of Gemma 2's norm behind it. Products are
// computed on the backend, for all heads of a layer at once.
type weights struct {
	ctx     context.Context // of the call that they live in
	m       *transformer.Model
	c       *transformer.Config
	tensors []*tensor.Tensor
	err     error // the first
}

func newWeights(ctx context.Context, m *transformer.Model) *weights {
	return &weights{ctx: ctx, m: m, c: m.Config}
}

// new allocates a result.
func (w *weights) new(shape ...int) *tensor.Tensor {
	if w.err != nil {
		return nil
	}
	t, err := w.m.Backend().New("product", tensor.F32, shape...)
	if err != nil {
		w.err = err
		return nil
	}
	w.tensors = append(w.tensors, t)
	return t
}

// do computes.
func (w *weights) do(ops ...tensor.Op) {
	if w.err != nil {
		return
	}
	p := tensor.Begin(w.m.Backend())
	p.Do(ops...)
	w.err = p.Submit(w.ctx)
}

// upload makes a matrix of rows of the given width.
func (w *weights) upload(x []float32, cols int) *tensor.Tensor {
	t := w.new(len(x)/cols, cols)
	if w.err == nil {
		w.err = tensor.WriteFloats(w.ctx, w.m.Backend(), t, x)
	}
	return t
}

// read takes a result to the host and frees what was made since there were n tensors.
func (w *weights) read(t *tensor.Tensor, n int) []float32 {
	var values []float32
	if w.err == nil {
		values, w.err = tensor.Floats(w.ctx, w.m.Backend(), t)
	}
	w.free(n)
	return values
}

// free closes the tensors made since there were n.
func (w *weights) free(n int) {
	for _, t := range w.tensors[n:] {
		w.err = errors.Join(w.err, t.Close())
	}
	w.tensors = w.tensors[:n]
}

// rows returns rows of a matrix in float32.
func (w *weights) rows(table *tensor.Tensor, ids []int32, scale float32) *tensor.Tensor {
	out := w.new(len(ids), table.Cols())
	if w.err != nil {
		return nil
	}
	list, err := tensor.FromInts(w.ctx, w.m.Backend(), "rows", ids, len(ids))
	if err != nil {
		w.err = err
		return nil
	}
	w.do(tensor.Embed{Out: out, IDs: list, Table: table, Scale: scale})
	w.err = errors.Join(w.err, list.Close())
	return out
}

// span is lo, lo+1, … hi−1.
func span(lo, hi int) []int32 {
	ids := make([]int32, 0, hi-lo)
	for i := lo; i < hi; i++ {
		ids = append(ids, int32(i))
	}
	return ids
}

// weigh returns x with its columns times a norm's weight.
func (w *weights) weigh(x, norm *tensor.Tensor) *tensor.Tensor {
	if w.err != nil || norm == nil {
		return x
	}
	out := w.new(x.Rows(), x.Cols())
	if w.err == nil {
		w.do(w.weighing(out, x, norm)...)
	}
	return out
}

// weighing is how.
func (w *weights) weighing(out, x, norm *tensor.Tensor) []tensor.Op {
	ops := []tensor.Op{tensor.ColumnScale{Out: out, X: x, S: norm}}
	if w.c.NormOffset != 0 {
		ops = append(ops, tensor.Scale{Out: out, X: x, Factor: w.c.NormOffset, Add: true})
	}
	return ops
}

// reads returns W_Qᵀ, W_Kᵀ or W_Vᵀ of all heads of a layer: [heads·h, D].
func (w *weights) reads(l int, p transformer.Proj) *tensor.Tensor {
	layer := &w.m.Weights.Layers[l]
	return w.weigh(w.rows(layer.Proj[p], span(0, layer.Proj[p].Rows()), 1), layer.Norm1)
}

// throughO returns x·W_Oᵀ for x [n, D]: for every row its products with all rows of the
// heads' W_O, [n, H·h].
func (w *weights) throughO(l int, x *tensor.Tensor) *tensor.Tensor {
	layer := &w.m.Weights.Layers[l]
	x = w.weigh(x, layer.Norm1Post)
	if w.err != nil {
		return nil
	}
	out := w.new(x.Rows(), w.c.Heads*w.c.HeadDim)
	if w.err == nil {
		w.do(tensor.MatMulDX{DX: out, DOut: x, W: layer.Proj[transformer.OProj]})
	}
	return out
}

// times is x·yᵀ.
func (w *weights) times(x, y *tensor.Tensor) *tensor.Tensor {
	if w.err != nil {
		return nil
	}
	out := w.new(x.Rows(), y.Rows())
	if w.err == nil {
		w.do(tensor.MatMul{Out: out, X: x, W: y})
	}
	return out
}

// blocks reads a matrix and cuts it into h×h blocks: at(i, j) is that of row block i and
// column block j.
func (w *weights) blocks(t *tensor.Tensor) (at func(i, j int) *mat.Dense) {
	if w.err != nil {
		return nil
	}
	values, err := tensor.Floats(w.ctx, w.m.Backend(), t)
	if err != nil {
		w.err = err
		return nil
	}
	h, cols := w.c.HeadDim, t.Cols()
	return func(i, j int) *mat.Dense {
		block := mat.NewDense(h, h, nil)
		for r := range h {
			for c := range h {
				block.Set(r, c, float64(values[(i*h+r)*cols+j*h+c]))
			}
		}
		return block
	}
}

// close ends the use of weights; it returns the first error.
func (w *weights) close() error {
	w.free(0)
	return w.err
}
