package tensor_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

var quantTypes = floatTypes[3:]

// TestQuantizedShapes: rows are whole blocks, wherever a shape comes from, and the error says how long they are.
func TestQuantizedShapes(t *testing.T) {
	b := newCPU(t, 1)
	for _, dt := range quantTypes {
		block := dt.Block()
		x := fresh(t, b, dt, 6, 2*block)
		named := func(what string, err error) {
			if !errors.Is(err, tensor.ErrShape) || !strings.Contains(err.Error(), fmt.Sprintf("blocks of %d", block)) {
				t.Errorf("%v, %s: %v", dt, what, err)
			}
		}
		for _, row := range []int{1, block - 1, block + 1, block + block/2} {
			_, err := b.New("w", dt, 4*block, row)
			named(fmt.Sprint("rows of ", row), err)
		}
		_, err := x.Reshape(8, 3*block/2)
		named("reshaped", err)
		flat, err := x.Reshape(12 * block)
		if err != nil {
			t.Fatal(err)
		}
		_, err = flat.Slice(1, block)
		named("a part that begins within a block", err)
		_, err = flat.Slice(block, 3*block/2)
		named("a part that ends within a block", err)
		if v, err := x.Slice(1, 3); err != nil || v.Bytes() != 4*dt.Bytes(block) {
			t.Errorf("%v: two rows are %v, %v", dt, v, err)
		}
	}
}

// TestQuantizedOperands: quantized matrices are weights, and nothing else.
func TestQuantizedOperands(t *testing.T) {
	b := newCPU(t, 1)
	ids := fresh(t, b, tensor.I32, 2)
	for _, dt := range quantTypes {
		n := dt.Block()
		w, x, y := fresh(t, b, dt, 3, n), fresh(t, b, tensor.F32, 2, n), fresh(t, b, tensor.F32, 2, 3)
		for name, o := range map[string]tensor.Op{
			"gradient":      tensor.MatMulDW{DW: w, DOut: y, X: x},
			"input":         tensor.MatMul{Out: fresh(t, b, tensor.F32, 3, 2), X: w, W: x},
			"result":        tensor.MatMul{Out: w, X: fresh(t, b, tensor.F32, 3, 4), W: fresh(t, b, tensor.F32, n, 4)},
			"table":         tensor.EmbedBackward{DTable: w, DOut: x, IDs: ids},
			"extra":         tensor.Embed{Out: x, IDs: ids, Table: w, Extra: w},
			"parameter":     tensor.AdamW{Param: w, M: w, V: w, Grad: w, Clip: fresh(t, b, tensor.F32, 2), Step: 1},
			"gathered rows": tensor.Gather{Out: x, X: w, Rows: ids},
		} {
			if err := o.Check(); !errors.Is(err, tensor.ErrType) {
				t.Errorf("%v as %s: %v", dt, name, err)
			}
		}
	}
}

// TestQuantizedMemory writes blocks, reads them back and counts their bytes.
func TestQuantizedMemory(t *testing.T) {
	for _, dt := range quantTypes {
		b := newCPU(t, 1)
		x := fresh(t, b, dt, 3, 2*dt.Block())
		if got := b.Memory().InUse; got != x.Bytes() || got != 6*dt.Bytes(dt.Block()) {
			t.Errorf("%v takes %d bytes, %d in use", x, x.Bytes(), got)
		}
		data, back := make([]byte, x.Bytes()), make([]byte, x.Bytes())
		for i := range data {
			data[i] = byte(i + 1)
		}
		if err := errors.Join(b.Write(t.Context(), x, data), b.Read(t.Context(), x, back)); err != nil || !bytes.Equal(data, back) {
			t.Errorf("%v comes back as others, %v", dt, err)
		}
	}
}

// TestQuantizedGradients compares the gradient of the input with differences of the loss on the oracle, through
// weights of every quantized type.
func TestQuantizedGradients(t *testing.T) {
	for _, dt := range quantTypes {
		t.Run(dt.String(), func(t *testing.T) {
			g := newGraph(t)
			const outs = 3
			in := 2 * dt.Block()
			values := make([]float32, outs*in)
			for i := range values {
				values[i] = float32(g.NormFloat64())
			}
			w, err := g.oracle.New("w", dt, outs, in)
			g.must(err)
			g.must(g.oracle.Write(t.Context(), w, tensor.Pack(nil, dt, values)))
			x, dx := g.input(4, in)
			y, dy := g.result(4, outs)
			g.check(ops(tensor.MatMul{Out: y, X: x, W: w, Scale: -1.5}), ops(tensor.MatMulDX{DX: dx, DOut: dy, W: w, Scale: -1.5}))
		})
	}
}
