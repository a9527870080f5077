package optest

import "github.com/gpupeft/gpupeft/tensor"

// matrix is the shape of a product: tokens, inputs, outputs.
type matrix struct{ n, i, o int }

// matrices crosses token counts with weight shapes around the tile sizes.
func matrices() []matrix {
	var all []matrix
	for _, n := range []int{1, 2, 5, 8, 17, 63, 65} {
		for _, w := range [][2]int{{1, 1}, {7, 3}, {8, 16}, {63, 65}, {64, 64}, {65, 63}, {20, 100}, {33, 255}, {257, 31}, {128, 256}} {
			all = append(all, matrix{n, w[0], w[1]})
		}
	}
	return append(all, matrix{1, 1024, 515}, matrix{256, 64, 128}, matrix{128, 512, 512}, matrix{255, 257, 129}, matrix{manyRows, 3, 2}, matrix{3, 2, manyRows})
}

// scales are the factors of successive cases; 0 means 1.
var scales = []float32{0, 0.5, -2}

func (g *grid) matMul() {
	for at, m := range matrices() {
		for d, dt := range weightTypes {
			s, add := scales[at%len(scales)], (at+d)%2 == 1
			g.add(func(in *inputs) []tensor.Op {
				return one(tensor.MatMul{Out: in.normal(m.n, m.o), X: in.normal(m.n, m.i), W: in.weight(dt, m.o, m.i), Scale: s, Add: add})
			}, "matmul/%v/%dx%dx%d/add=%v", dt, m.n, m.i, m.o, add)
		}
	}
	for at, m := range matrices() {
		for d, dt := range weightTypes {
			s, add := scales[at%len(scales)], (at+d)%2 == 0
			g.add(func(in *inputs) []tensor.Op {
				return one(tensor.MatMulDX{DX: in.normal(m.n, m.i), DOut: in.normal(m.n, m.o), W: in.weight(dt, m.o, m.i), Scale: s, Add: add})
			}, "matmul.dx/%v/%dx%dx%d/add=%v", dt, m.n, m.i, m.o, add)
		}
	}
	for at, m := range matrices() {
		s, add := scales[at%len(scales)], at%2 == 1
		g.add(func(in *inputs) []tensor.Op {
			return one(tensor.MatMulDW{DW: in.normal(m.o, m.i), DOut: in.normal(m.n, m.o), X: in.normal(m.n, m.i), Scale: s, Add: add})
		}, "matmul.dw/%dx%dx%d/add=%v", m.n, m.i, m.o, add)
	}
}
