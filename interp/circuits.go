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
	if err := checkCircuit(m.Config, position, HeadAt{layer, head}); err != nil {
		return nil, err
	}
	f := &fullCircuits{weights: newWeights(ctx, m)}
	f.embed(position)
	circuits := f.tables(HeadAt{layer, head})
	return circuits, f.close()
}

// HeadAt is a head of a model.
type HeadAt struct {
	Layer int `json:"layer"`
	Head  int `json:"head"`
}

// String is as in "L5H1".
func (h HeadAt) String() string { return fmt.Sprintf("L%dH%d", h.Layer, h.Head) }

// KeyCircuit is the QK circuit of a head whose keys are what an earlier head writes
// (K-composition): (E+P_q)·W_Q·W_Kᵀ·((E+P̄)·W_V·W_O)ᵀ·scale, [query token][token that the earlier
// head looks at]. With a head that looks at the token before, the later one finds what followed
// the query token: an induction head (Elhage et al. 2021). Queries are at the given position.
func KeyCircuit(ctx context.Context, m *transformer.Model, earlier, later HeadAt, position int) ([][]float32, error) {
	if err := checkCircuit(m.Config, position, earlier, later); err != nil {
		return nil, err
	}
	if earlier.Layer >= later.Layer {
		return nil, fmt.Errorf("%v is no earlier than %v: %w", earlier, later, transformer.ErrInput)
	}
	f := &fullCircuits{weights: newWeights(ctx, m)}
	f.embed(position)
	var table [][]float32
	if written := f.attended(earlier); f.err == nil {
		table = f.scores(f.part(f.query, transformer.QProj, later), f.part(written, transformer.KProj, later))
	}
	return table, f.close()
}

// checkCircuit makes sure that there are such heads, and that tables are small enough.
func checkCircuit(c *transformer.Config, position int, heads ...HeadAt) error {
	for _, h := range heads {
		if h.Layer < 0 || h.Layer >= len(c.Layers) || h.Head < 0 || h.Head >= c.Heads {
			return fmt.Errorf("%v: the model has %d layers of %d heads: %w", h, len(c.Layers), c.Heads, transformer.ErrInput)
		}
	}
	switch {
	case position < 0 || position >= c.MaxPositions:
		return fmt.Errorf("position %d of %d: %w", position, c.MaxPositions, transformer.ErrInput)
	case c.VocabSize > maxCircuit:
		return fmt.Errorf("tables over a vocabulary of %d (at most %d): %w", c.VocabSize, maxCircuit, transformer.ErrInput)
	}
	return nil
}

// fullCircuits are circuits in work.
type fullCircuits struct {
	*weights
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

// tables multiplies a head's out.
func (f *fullCircuits) tables(h HeadAt) *Circuits {
	q := f.part(f.query, transformer.QProj, h)
	c := &Circuits{QK: f.scores(q, f.part(f.key, transformer.KProj, h))}
	if f.position != nil {
		c.Position = f.scores(q, f.part(f.position, transformer.KProj, h))
	}
	unembed := f.rows(f.m.Weights.Unembed, span(0, f.c.VocabSize), 1)
	c.OV = f.table(f.times(f.weigh(f.attended(h), f.m.Weights.Norm), unembed))
	c.Direct = f.table(f.times(f.weigh(f.query, f.m.Weights.Norm), unembed))
	return c
}

// attended is what a head writes when it looks at each token: [V, D].
func (f *fullCircuits) attended(h HeadAt) *tensor.Tensor {
	values := f.read(f.times(f.key, f.reads(h.Layer, transformer.VProj)), len(f.tensors))
	if f.err != nil {
		return nil
	}
	return f.written(h.Layer, h.Head, values, f.c.VocabSize)
}

// part is what a head reads of rows x as queries or keys: [len(x), h].
func (f *fullCircuits) part(x *tensor.Tensor, p transformer.Proj, at HeadAt) *mat.Dense {
	all := f.times(x, f.reads(at.Layer, p))
	values := f.read(all, len(f.tensors))
	if f.err != nil {
		return nil
	}
	head := at.Head
	if p == transformer.KProj {
		head = KVHead(f.c, head)
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
