package interp

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/gpupeft/gpupeft/transformer"
)

// TunedLens says, for the stream before every layer and behind the last, what it is likely
// to be at the end: x·W + b, where the logit lens takes x itself (Belrose et al. 2023, arXiv
// 2303.08112). They train W and b towards the final distributions; here they are the least
// squares of the final stream, see FitTunedLens.
type TunedLens struct {
	Width  int
	Weight map[string][]float32 // W by hook, [D, D]
	Bias   map[string][]float32 // b by hook, [D]
}

// FitTunedLens fits a lens to what a model does on sequences, of any lengths. At each place it
// minimises, over all tokens t,
//
//	Σ_t w_t·‖x_t·W + b − y_t‖² + λ·σ²·‖W − I‖²
//
// with y the stream at the end, w_t = 1/mean(y_t²), for the last norm makes all tokens alike, and
// σ² the mean of w_t·(x−mean)² over tokens and directions. λ, ridge, keeps W near the logit lens
// where the tokens are too few to say better: 1 is like one more token for each direction. The streams are held on the host: tokens ×
// D × (layers + 1) values.
func FitTunedLens(ctx context.Context, m *transformer.Model, sequences [][]int32, ridge float64, o Options) (*TunedLens, error) {
	if len(sequences) == 0 || !(ridge > 0) {
		return nil, fmt.Errorf("lens from %d sequences with ridge %v: %w", len(sequences), ridge, transformer.ErrInput)
	}
	hooks := streamHooks(m.Config)
	streams := map[string][]float32{}
	for _, seq := range sequences {
		captured, err := captureStreams(ctx, m, seq, o)
		if err != nil {
			return nil, err
		}
		for _, h := range hooks {
			streams[h] = append(streams[h], captured[h].Values...)
		}
	}
	t := &TunedLens{m.Config.Hidden, map[string][]float32{}, map[string][]float32{}}
	end := streams[hooks[len(hooks)-1]]
	for _, h := range hooks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w, b, err := affine(streams[h], end, t.Width, ridge)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h, err)
		}
		t.Weight[h], t.Bias[h] = w, b
	}
	return t, nil
}

// affine fits x·W + b to y, rows of width d. With weighted means taken off, W − I solves
// (XᵀX + λσ²)·(W − I) = Xᵀ(Y − X).
func affine(x, y []float32, d int, ridge float64) (weight, bias []float32, err error) {
	n := len(x) / d
	share, sum := make([]float64, n), 0.0
	for t := range n {
		share[t] = float64(d) / max(1e-12, dot(y[t*d:][:d], y[t*d:][:d]))
		sum += share[t]
	}
	left, meanX := centred(x, share, sum, d)
	right, meanY := centred(y, share, sum, d)
	var gram, moved mat.Dense
	gram.Mul(left.T(), left)
	right.Sub(right, left)
	moved.Mul(left.T(), right)
	sigma := mat.Trace(&gram) / float64(d)
	normal := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			normal.SetSym(i, j, gram.At(i, j))
		}
		normal.SetSym(i, i, normal.At(i, i)+ridge*max(sigma, 1e-12)/float64(n))
	}
	var c mat.Cholesky
	var w mat.Dense
	if !c.Factorize(normal) {
		return nil, nil, fmt.Errorf("no least squares: is a value not finite? %w", transformer.ErrInput)
	}
	if err := c.SolveTo(&w, &moved); err != nil {
		return nil, nil, fmt.Errorf("no least squares: %v: %w", err, transformer.ErrInput)
	}
	bias = make([]float32, d)
	for i := range d {
		w.Set(i, i, w.At(i, i)+1)
	}
	for j := range d {
		b := meanY[j]
		for i := range d {
			b -= meanX[i] * w.At(i, j)
		}
		bias[j] = float32(b)
	}
	for _, v := range w.RawMatrix().Data {
		weight = append(weight, float32(v))
	}
	return weight, bias, nil
}

// centred takes the weighted mean off all rows and multiplies them by the roots of their
// shares.
func centred(x []float32, share []float64, sum float64, d int) (*mat.Dense, []float64) {
	mean := make([]float64, d)
	for t, s := range share {
		for i, v := range x[t*d:][:d] {
			mean[i] += s / sum * float64(v)
		}
	}
	m := mat.NewDense(len(share), d, nil)
	for t, s := range share {
		for i, v := range x[t*d:][:d] {
			m.Set(t, i, math.Sqrt(s)*(float64(v)-mean[i]))
		}
	}
	return m, mean
}

// LogitLens is LogitLens through the lens.
func (t *TunedLens) LogitLens(ctx context.Context, m *transformer.Model, ids [][]int32, top int, o Options) ([]Lens, error) {
	if t.Width != m.Config.Hidden || len(t.Weight) != len(m.Config.Layers)+1 {
		return nil, fmt.Errorf("lens of %d places and width %d for a model of %d layers and width %d: %w", len(t.Weight), t.Width, len(m.Config.Layers),
			m.Config.Hidden, transformer.ErrInput)
	}
	return logitLens(ctx, m, ids, top, o, t.translate)
}

// translate is x·W + b of all rows.
func (t *TunedLens) translate(hook string, x []float32) []float32 {
	d := t.Width
	out := make([]float32, len(x))
	for row := 0; row < len(x); row += d {
		sums := make([]float64, d)
		for i, v := range x[row:][:d] {
			for j, w := range t.Weight[hook][i*d:][:d] {
				sums[j] += float64(v) * float64(w)
			}
		}
		for j, s := range sums {
			out[row+j] = float32(s) + t.Bias[hook][j]
		}
	}
	return out
}

// Names of a lens's tensors: a hook's with one of these behind.
const (
	lensWeight = ".weight"
	lensBias   = ".bias"
)

// Write writes the lens as a safetensors file.
func (t *TunedLens) Write(w io.Writer, metadata map[string]string) error {
	all := &Trace{Activations: map[string]Activation{}}
	for hook, v := range t.Weight {
		all.Activations[hook+lensWeight] = Activation{[]int{t.Width, t.Width}, v}
		all.Activations[hook+lensBias] = Activation{[]int{t.Width}, t.Bias[hook]}
	}
	return all.Write(w, metadata)
}

// ReadTunedLens reads what Write has written, for a model.
func ReadTunedLens(r io.ReaderAt, size int64, c *transformer.Config) (*TunedLens, error) {
	all, err := ReadTrace(r, size)
	if err != nil {
		return nil, err
	}
	t := &TunedLens{c.Hidden, map[string][]float32{}, map[string][]float32{}}
	for _, hook := range streamHooks(c) {
		w, b := all.Activations[hook+lensWeight], all.Activations[hook+lensBias]
		if !slices.Equal(w.Shape, []int{c.Hidden, c.Hidden}) || !slices.Equal(b.Shape, []int{c.Hidden}) {
			return nil, fmt.Errorf("lens at %s: shapes %v and %v, want those of width %d: %w", hook, w.Shape, b.Shape, c.Hidden, transformer.ErrInput)
		}
		t.Weight[hook], t.Bias[hook] = w.Values, b.Values
	}
	return t, nil
}
