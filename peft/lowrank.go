package peft

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// Approximations of matrices by products of smaller ones: the singular vectors of the
// largest singular values, B = U·S and A = Vᵀ.

// product is Scale·B·A, [out, in].
func product(p LoRAPair) []float32 {
	var m mat.Dense
	m.Mul(wide(p.B), wide(p.A))
	m.Scale(p.Scale, &m)
	return floats32(&m)
}

// truncated approximates a LoRA by one of another rank. It costs little: B = Q·R and
// Aᵀ = P·T give B·A = Q·(R·Tᵀ)·Pᵀ, where only R·Tᵀ, of the rank's size, is decomposed.
func truncated(p LoRAPair, rank int) (LoRAPair, error) {
	r, in, out := p.Rank(), p.A.Shape[1], p.B.Shape[0]
	if r > min(in, out) {
		return decomposed(p.Module, product(p), out, in, rank)
	}
	var qb, qa mat.QR
	qb.Factorize(wide(p.B))
	qa.Factorize(wide(p.A).T())
	var rb, ra, q, core mat.Dense
	qb.RTo(&rb)
	qa.RTo(&ra)
	core.Mul(rb.Slice(0, r, 0, r), ra.Slice(0, r, 0, r).T())
	core.Scale(p.Scale, &core)
	u, v, err := singular(&core, min(rank, r))
	if err != nil {
		return LoRAPair{}, err
	}
	var b, a mat.Dense
	qb.QTo(&q)
	b.Mul(q.Slice(0, out, 0, r), u)
	q.Reset()
	qa.QTo(&q)
	a.Mul(q.Slice(0, in, 0, r), v)
	return lowRank(p.Module, &b, &a), nil
}

// decomposed approximates a matrix [out, in].
func decomposed(module string, values []float32, out, in, rank int) (LoRAPair, error) {
	u, v, err := singular(wide(Matrix{[]int{out, in}, values}), min(rank, in, out))
	if err != nil {
		return LoRAPair{}, err
	}
	return lowRank(module, u, v), nil
}

// singular returns U·S and V of the largest singular values.
func singular(m *mat.Dense, rank int) (us, v *mat.Dense, err error) {
	var svd mat.SVD
	if !svd.Factorize(m, mat.SVDThin) {
		return nil, nil, fmt.Errorf("no singular values: is a value not finite? %w", ErrFormat)
	}
	var u, w mat.Dense
	svd.UTo(&u)
	svd.VTo(&w)
	sizes := svd.Values(nil)
	us = mat.DenseCopyOf(u.Slice(0, u.RawMatrix().Rows, 0, rank))
	us.Apply(func(_, j int, x float64) float64 { return x * sizes[j] }, us)
	return us, mat.DenseCopyOf(w.Slice(0, w.RawMatrix().Rows, 0, rank)), nil
}

// lowRank makes a LoRA of B and Aᵀ.
func lowRank(module string, b, at *mat.Dense) LoRAPair {
	out, rank := b.Dims()
	in, _ := at.Dims()
	return LoRAPair{
		Module: module, Scale: 1,
		A: Matrix{[]int{rank, in}, floats32(mat.DenseCopyOf(at.T()))}, B: Matrix{[]int{out, rank}, floats32(b)},
	}
}

// wide is a matrix in float64.
func wide(m Matrix) *mat.Dense {
	values := make([]float64, len(m.Values))
	for i, v := range m.Values {
		values[i] = float64(v)
	}
	return mat.NewDense(m.Shape[0], m.Shape[1], values)
}

// floats32 are a matrix's values, row by row.
func floats32(m *mat.Dense) []float32 {
	rows, cols := m.Dims()
	out := make([]float32, 0, rows*cols)
	for r := range rows {
		for _, v := range m.RawRowView(r) {
			out = append(out, float32(v))
		}
	}
	return out
}
