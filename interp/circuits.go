package interp

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// Circuits say what a head does as a table over the vocabulary, on the path from the
// embeddings through this head alone (Elhage et al. 2021). With E the tokens' embeddings and
// P those of positions 0…q where they are learned, P̄ their mean:
//
//	QK        (E+P_q)·W_Q·W_Kᵀ·(E+P̄)ᵀ·scale   scores before the softmax
//	Position  (E+P_q)·W_Q·W_Kᵀ·(P−P̄)ᵀ·scale   what the key's position adds to them
//	OV        (E+P̄)·W_V·W_O·W_U               logits, for a head that looks at this token alone
//	Direct    (E+P_q)·W_U                     logits past all heads
//
// Norms count by their weights, not by what they divide by; rotary embeddings as at distance 0.
type Circuits struct {
	QK       [][]float32 // [query token][key token]
	Position [][]float32 // [query token][position], nil without learned positions
	OV       [][]float32 // [token attended to][token predicted]
	Direct   [][]float32 // [token][token predicted]
}

// maxCircuit is the largest vocabulary that FullCircuits makes tables of.
const maxCircuit = 4096

// FullCircuits computes those of a head, for queries at the given position q, of models with a
// small vocabulary. Gemma 3's norms of queries and keys are left out.
func FullCircuits(ctx context.Context, m *transformer.Model, layer, head, position int) (*Circuits, error) {
	c := m.Config
	switch {
	case layer < 0 || layer >= len(c.Layers) || head < 0 || head >= c.Heads || position < 0 || position >= c.MaxPositions:
		return nil, fmt.Errorf("head %d of layer %d, at position %d: the model has %d layers of %d heads, and %d positions: %w",
			head, layer, position, len(c.Layers), c.Heads, c.MaxPositions, transformer.ErrInput)
	case c.VocabSize > maxCircuit:
		return nil, fmt.Errorf("tables over a vocabulary of %d (at most %d): %w", c.VocabSize, maxCircuit, transformer.ErrInput)
	}
	w := newWeights(ctx, m)
	f := &fullCircuits{weights: w, layer: layer, head: head}
	f.embed(position)
	circuits := f.tables()
	return circuits, w.close()
}

// fullCircuits are the circuits of one head in work.
type fullCircuits struct {
	*weights
	layer, head          int
	query, key, position *tensor.Tensor // [V, D], [V, D], [q+1, D]: E+P_q, E+P̄, P−P̄
}

// embed makes the three ends of the circuits.
func (f *fullCircuits) embed(position int) {
	d := f.c.Hidden
	tokens := f.read(f.rows(f.m.Weights.Embed, span(0, f.c.VocabSize), f.c.EmbedScale), 0)
	mean, last := make([]float32, d), make([]float32, d)
	if table := f.m.Weights.Positions; table != nil {
		places := f.read(f.rows(table, span(0, position+1), 1), 0)
		if f.err != nil {
			return
		}
		for i, v := range places {
			mean[i%d] += v / float32(position+1)
		}
		copy(last, places[position*d:])
		f.position = f.upload(plus(places, mean, -1), d)
	}
	f.query, f.key = f.upload(plus(tokens, last, 1), d), f.upload(plus(tokens, mean, 1), d)
}

// plus returns rows with a multiple of another row added to each.
func plus(rows, row []float32, factor float32) []float32 {
	sum := make([]float32, len(rows))
	for i, v := range rows {
		sum[i] = v + factor*row[i%len(row)]
	}
	return sum
}

// tables multiplies them out.
func (f *fullCircuits) tables() *Circuits {
	if f.err != nil {
		return nil
	}
	kv := KVHead(f.c, f.head)
	q := f.part(f.query, transformer.QProj, f.head)
	c := &Circuits{QK: f.scores(q, f.part(f.key, transformer.KProj, kv))}
	if f.position != nil {
		c.Position = f.scores(q, f.part(f.position, transformer.KProj, kv))
	}
	values := f.read(f.times(f.key, f.reads(f.layer, transformer.VProj)), len(f.tensors))
	unembed := f.rows(f.m.Weights.Unembed, span(0, f.c.VocabSize), 1)
	if f.err != nil {
		return nil
	}
	c.OV = f.table(f.times(f.written(f.layer, f.head, values, f.c.VocabSize), unembed))
	c.Direct = f.table(f.times(f.weigh(f.query, f.m.Weights.Norm), unembed))
	return c
}

// part is what a head reads of rows x: [len(x), h].
func (f *fullCircuits) part(x *tensor.Tensor, p transformer.Proj, head int) *mat.Dense {
	all := f.times(x, f.reads(f.layer, p))
	values := f.read(all, len(f.tensors))
	if f.err != nil {
		return nil
	}
	h, cols := f.c.HeadDim, all.Cols()
	part := mat.NewDense(all.Rows(), h, nil)
	for r := range all.Rows() {
		for i := range h {
			part.Set(r, i, float64(values[r*cols+head*h+i]))
		}
	}
	return part
}

// scores is q·kᵀ·scale.
func (f *fullCircuits) scores(q, k *mat.Dense) [][]float32 {
	if f.err != nil {
		return nil
	}
	var s mat.Dense
	s.Mul(q, k.T())
	rows, cols := s.Dims()
	table := make([][]float32, rows)
	for r := range table {
		table[r] = make([]float32, cols)
		for i := range cols {
			table[r][i] = float32(s.At(r, i)) * f.c.AttnScale
		}
	}
	return table
}

// table reads a matrix.
func (f *fullCircuits) table(t *tensor.Tensor) [][]float32 {
	values := f.read(t, len(f.tensors))
	var rows [][]float32
	for n := f.c.VocabSize; len(values) > 0; values = values[n:] {
		rows = append(rows, values[:n])
	}
	return rows
}

// SingularValues returns those of a matrix, the largest first: how many independent things it
// does. The error wraps transformer.ErrInput if rows differ in length.
func SingularValues(rows [][]float32) ([]float64, error) {
	if len(rows) == 0 || len(rows[0]) == 0 {
		return nil, fmt.Errorf("singular values of an empty matrix: %w", transformer.ErrInput)
	}
	m := mat.NewDense(len(rows), len(rows[0]), nil)
	for r, row := range rows {
		if len(row) != len(rows[0]) {
			return nil, fmt.Errorf("singular values of rows of %d and %d values: %w", len(rows[0]), len(row), transformer.ErrInput)
		}
		for i, v := range row {
			m.Set(r, i, float64(v))
		}
	}
	var svd mat.SVD
	if !svd.Factorize(m, mat.SVDNone) {
		return nil, fmt.Errorf("singular values don't converge: %w", transformer.ErrUnsupported)
	}
	return svd.Values(nil), nil
}
