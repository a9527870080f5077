package peft

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
)

// biLSTM is a layer of torch.nn.LSTM in both directions: its output's rows are those of
// the one behind those of the other.
type biLSTM struct {
	directions [2]lstmDirection
	x, dx      *tensor.Tensor // [n, in]
	y, dy      *tensor.Tensor // [n, 2h]
}

// lstmDirection is one of them: see tensor.LSTM.
type lstmDirection struct {
	wIH, wHH, bIH, bHH  Param          // [4h, in], [4h, h], [4h], [4h]
	h, c, dh, dc, moved *tensor.Tensor // [n, h]; moved is h, one row on
	a, gates, da        *tensor.Tensor // [n, 4h]
	reverse             bool
}

// lstmSpecs are a layer's parameters, between ±1/√h at the start as in PyTorch.
func lstmSpecs(layer, in, h int, rng *rand.Rand) []spec {
	var all []spec
	for _, suffix := range []string{"", "_reverse"} {
		for _, x := range []struct {
			name  string
			shape []int
		}{{"weight_ih", []int{4 * h, in}}, {"weight_hh", []int{4 * h, h}}, {"bias_ih", []int{4 * h}}, {"bias_hh", []int{4 * h}}} {
			all = append(all, spec{name: fmt.Sprintf("lstm_head.%s_l%d%s", x.name, layer, suffix), shape: x.shape, init: uniform(rng, 1/math.Sqrt(float64(h)))})
		}
	}
	return all
}

func (m *method) biLSTM(s *scratch, layer int, x, dx *tensor.Tensor) *biLSTM {
	n := x.Rows()
	l := &biLSTM{x: x, dx: dx}
	for i, suffix := range []string{"", "_reverse"} {
		name := func(kind string) Param { return m.param(fmt.Sprintf("lstm_head.%s_l%d%s", kind, layer, suffix)) }
		d := lstmDirection{wIH: name("weight_ih"), wHH: name("weight_hh"), bIH: name("bias_ih"), bHH: name("bias_hh"), reverse: i == 1}
		h := d.wHH.Shape[1]
		for _, t := range []**tensor.Tensor{&d.h, &d.c, &d.dh, &d.dc, &d.moved} {
			*t = s.new("lstm", n, h)
		}
		for _, t := range []**tensor.Tensor{&d.a, &d.gates, &d.da} {
			*t = s.new("lstm.gates", n, 4*h)
		}
		l.directions[i] = d
	}
	h := l.directions[0].wHH.Shape[1]
	l.y, l.dy = s.new("lstm.y", n, 2*h), s.new("lstm.dy", n, 2*h)
	return l
}

// half is the copy of a direction's half of y's rows.
func (l *biLSTM) half(p *tensor.Pass, y *tensor.Tensor, i int) tensor.Copy {
	n, width := y.Rows(), y.Cols()/2
	return tensor.Copy{Src: shaped(p, y, 2*n, width), Batch: n, Rows: 1, DstStride: 1, SrcStride: 2, SrcFirst: i}
}

func (l *biLSTM) forward(p *tensor.Pass) {
	for i := range l.directions {
		d := &l.directions[i]
		broadcast(p, d.a, d.bIH.Value, false)
		broadcast(p, d.a, d.bHH.Value, true)
		p.Do(tensor.MatMul{Out: d.a, X: l.x, W: d.wIH.Value, Add: true},
			tensor.LSTM{H: d.h, C: d.c, Gates: d.gates, X: d.a, W: d.wHH.Value, Reverse: d.reverse})
		out := l.half(p, l.y, i)
		p.Do(tensor.Copy{Dst: out.Src, Src: d.h, Batch: out.Batch, Rows: 1, DstStride: 2, DstFirst: i, SrcStride: 1})
	}
}

// backward takes dy to dx.
func (l *biLSTM) backward(p *tensor.Pass) {
	for i := range l.directions {
		d := &l.directions[i]
		in := l.half(p, l.dy, i)
		in.Dst = d.dh
		p.Do(in, tensor.LSTMBackward{DX: d.da, DC: d.dc, DH: d.dh, C: d.c, Gates: d.gates, W: d.wHH.Value, Reverse: d.reverse})
		p.Do(tensor.Fill{Out: d.moved})
		if n := d.h.Rows(); n > 1 {
			move := tensor.Copy{Dst: d.moved, Src: d.h, Batch: 1, Rows: n - 1, DstFirst: 1}
			if d.reverse {
				move.DstFirst, move.SrcFirst = 0, 1
			}
			p.Do(move)
		}
		p.Do(tensor.MatMulDW{DW: d.wIH.Grad, DOut: d.da, X: l.x, Add: true}, tensor.MatMulDW{DW: d.wHH.Grad, DOut: d.da, X: d.moved, Add: true},
			tensor.ColumnSums{Out: d.bIH.Grad, A: d.da, Add: true}, tensor.ColumnSums{Out: d.bHH.Grad, A: d.da, Add: true},
			tensor.MatMulDX{DX: l.dx, DOut: d.da, W: d.wIH.Value, Add: i > 0})
	}
}
