package optest

import "github.com/gpupeft/gpupeft/tensor"

// quantized crosses the quantized types with what reads weights. Sizes of rows are
// given in blocks; those of 576 values are SmolLM2's.
func (g *grid) quantized() {
	for at, dt := range quantizedTypes {
		block := dt.Block()
		shapes := []matrix{}
		for _, n := range []int{1, 2, 5, 17, 65} {
			for _, w := range [][2]int{{1, 1}, {1, 3}, {2, 65}, {3, 17}, {5, 64}} {
				shapes = append(shapes, matrix{n, w[0] * block, w[1]})
			}
		}
		shapes = append(shapes, matrix{1, 8 * block, 515}, matrix{128, 4 * block, 256}, matrix{33, 2 * block, manyRows / 64})
		if 576%block == 0 {
			shapes = append(shapes, matrix{1, 576, 192}, matrix{40, 576, 192})
		}
		for i, m := range shapes {
			s, add := scales[i%len(scales)], (at+i)%2 == 1
			g.add(func(in *inputs) []tensor.Op {
				return one(tensor.MatMul{Out: in.normal(m.n, m.o), X: in.normal(m.n, m.i), W: in.weight(dt, m.o, m.i), Scale: s, Add: add})
			}, "matmul/%v/%dx%dx%d/add=%v", dt, m.n, m.i, m.o, add)
			g.add(func(in *inputs) []tensor.Op {
				return one(tensor.MatMulDX{DX: in.normal(m.n, m.i), DOut: in.normal(m.n, m.o), W: in.weight(dt, m.o, m.i), Scale: s, Add: !add})
			}, "matmul.dx/%v/%dx%dx%d/add=%v", dt, m.n, m.i, m.o, !add)
		}
		for _, e := range [][2]int{{1, 65}, {3, 7}, {8, 5}} { // blocks, tokens
			const vocab, prompt = 37, 3
			d, n := e[0]*block, e[1]
			g.exact(func(in *inputs) []tensor.Op {
				return one(tensor.Embed{Out: in.normal(n, d), IDs: in.below(n, 0, vocab), Table: in.weight(dt, vocab, d)})
			}, "embed/%v/%dx%d", dt, n, d)
			g.add(func(in *inputs) []tensor.Op {
				return one(tensor.Embed{
					Out: in.normal(n, d), IDs: in.below(n, -prompt, vocab), Table: in.weight(dt, vocab, d),
					Extra: in.normal(prompt, d), Scale: 8, ExtraScale: 0.5,
				})
			}, "embed/%v/%dx%d/extra=%d", dt, n, d, prompt)
		}
	}
}
