package gpu_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/gpupeft/gpupeft/gpu"
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// TestSpreadWeights: matrices that are larger than a buffer may be are spread over
// several, and give the same results, as a whole and in part.
func TestSpreadWeights(t *testing.T) {
	l := gpu.DefaultLimits()
	l.BufferSize = 256 << 10
	b := openBackend(t, gpu.Config{Limits: &l})
	oracle := tensor.NewFloat64()
	t.Cleanup(func() { must(t, oracle.Close()) })
	for _, c := range []struct {
		dt        tensor.DType
		rows, row int
	}{{tensor.Q4_0, 1024, 1024}, {tensor.BF16, 515, 512}, {tensor.Q6_K, 515, 768}, {tensor.Q8_0, 700, 576}} {
		t.Run(c.dt.String(), func(t *testing.T) {
			values := make([]float32, c.rows*c.row)
			rng := rand.New(rand.NewPCG(1, uint64(c.rows)))
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
			data := tensor.Pack(nil, c.dt, values)
			got, want := spreadResults(t, b, c.dt, c.rows, c.row, data), spreadResults(t, oracle, c.dt, c.rows, c.row, data)
			for i := range want {
				if e := optest.NMSE(got[i], want[i]); !(e <= optest.Tolerance) {
					t.Errorf("result %d: NMSE %.3g", i, e)
				}
			}
		})
	}
	if m := b.Memory(); m.InUse != 0 || m.Tensors != 0 {
		t.Errorf("%+v is left", m)
	}
	if _, err := b.New("activation", tensor.F32, 256, 1024); !errors.Is(err, tensor.ErrMemory) {
		t.Errorf("an activation beyond a buffer: %v", err)
	}
}

// spreadResults writes a matrix in two pieces, reads it back, and returns a product, its
// gradient and a lookup, with all rows and with those from 128 on.
func spreadResults(t *testing.T, b tensor.Backend, dt tensor.DType, rows, row int, data []byte) [][]float64 {
	t.Helper()
	const n = 5
	w := newTensor(t, b, dt, rows, row)
	defer w.Close()
	for _, part := range [][2]int{{0, 192}, {192, rows}} {
		piece, err := w.Slice(part[0], part[1])
		must(t, err)
		size := len(data) / rows
		must(t, b.Write(t.Context(), piece, data[part[0]*size:part[1]*size]))
	}
	back := make([]byte, len(data))
	must(t, b.Read(t.Context(), w, back))
	if !bytes.Equal(back, data) {
		t.Errorf("%v comes back as another one", w)
	}
	later, err := w.Slice(128, rows)
	must(t, err)
	var results [][]float64
	for _, m := range []*tensor.Tensor{w, later} {
		x, y := newTensor(t, b, tensor.F32, n, row), newTensor(t, b, tensor.F32, n, m.Rows())
		dx, embedded := newTensor(t, b, tensor.F32, n, row), newTensor(t, b, tensor.F32, n, row)
		ids := newTensor(t, b, tensor.I32, n)
		must(t, tensor.WriteFloats(t.Context(), b, x, ramp(n*row)))
		must(t, tensor.WriteInts(t.Context(), b, ids, []int32{0, 63, 64, int32(m.Rows() / 2), int32(m.Rows() - 1)}))
		p := tensor.Begin(b)
		p.Do(tensor.MatMul{Out: y, X: x, W: m}, tensor.MatMulDX{DX: dx, DOut: y, W: m}, tensor.Embed{Out: embedded, IDs: ids, Table: m})
		must(t, p.Submit(t.Context()))
		for _, r := range []*tensor.Tensor{y, dx, embedded} {
			v, err := tensor.Floats(t.Context(), b, r)
			must(t, err)
			results = append(results, widened(v))
		}
		for _, r := range []*tensor.Tensor{x, y, dx, embedded, ids} {
			must(t, r.Close())
		}
	}
	return results
}

func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i%17-8) / 8
	}
	return v
}

func widened(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
