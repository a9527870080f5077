package optest

import "github.com/gpupeft/gpupeft/tensor"

func (g *grid) embed() {
	const vocab, prompt = 37, 3
	for _, dt := range weightTypes {
		for _, d := range []int{1, 7, 8, 63, 64, 130} {
			for at, n := range []int{1, 5, 64, 257} {
				g.exact(func(in *inputs) []tensor.Op {
					return one(tensor.Embed{Out: in.normal(n, d), IDs: in.below(n, 0, vocab), Table: in.weight(dt, vocab, d)})
				}, "embed/%v/%dx%d", dt, n, d)
				g.exact(func(in *inputs) []tensor.Op {
					return one(tensor.Embed{Out: in.normal(n, d), IDs: in.below(n, -prompt, vocab), Table: in.weight(dt, vocab, d)})
				}, "embed/%v/%dx%d/none", dt, n, d)
				s := scales[at%len(scales)]
				g.add(func(in *inputs) []tensor.Op {
					return one(tensor.Embed{
						Out: in.normal(n, d), IDs: in.below(n, -prompt, vocab), Table: in.weight(dt, vocab, d),
						Extra: in.normal(prompt, d), Scale: 8, ExtraScale: s,
					})
				}, "embed/%v/%dx%d/extra=%d", dt, n, d, prompt)
			}
		}
	}
	g.exact(func(in *inputs) []tensor.Op {
		return one(tensor.Embed{Out: in.normal(manyRows, 2), IDs: in.below(manyRows, 0, vocab), Table: in.normal(vocab, 2)})
	}, "embed/f32/%dx2", manyRows)
	for _, d := range []int{1, 7, 64, 65} {
		for at, n := range []int{1, 5, 257} {
			for _, extra := range []bool{false, true} {
				rows, s, add := vocab, scales[at], at%2 == 0
				if extra {
					rows = prompt
				}
				g.add(func(in *inputs) []tensor.Op {
					return one(tensor.EmbedBackward{
						DTable: in.normal(rows, d), DOut: in.normal(n, d),
						IDs: in.below(n, -prompt, vocab), Extra: extra, Scale: s, Add: add,
					})
				}, "embed.backward/%dx%d/extra=%v/add=%v", n, d, extra, add)
			}
		}
	}
}

func (g *grid) gather() {
	for _, d := range []int{1, 3, 8, 64, 129} {
		for _, m := range []int{1, 7, 64, 300, manyRows} {
			if m == manyRows && d > 1 {
				continue
			}
			g.exact(func(in *inputs) []tensor.Op {
				return one(tensor.Gather{Out: in.normal(m, d), X: in.normal(23, d), Rows: in.below(m, -1, 23)})
			}, "gather/%dx%d", m, d)
		}
	}
}

func (g *grid) copies() {
	for _, d := range []int{1, 5, 8, 64, 65} {
		for _, c := range []tensor.Copy{
			{Batch: 1, Rows: 1},                                          // a single row
			{Batch: 1, Rows: 4, DstFirst: 3, SrcFirst: 2},                // within one sequence
			{Batch: 3, Rows: 2, DstStride: 5, SrcStride: 2},              // into a cache
			{Batch: 3, Rows: 1, DstStride: 4, DstFirst: 3},               // the same row for all
			{Batch: 2, Rows: 3, DstStride: 3, SrcStride: 7, SrcFirst: 4}, // out of a cache
			{Batch: 4, Rows: 17, DstStride: 33, DstFirst: 16, SrcFirst: 1},
		} {
			g.exact(func(in *inputs) []tensor.Op {
				c.Add = false
				c.Dst = in.normal((c.Batch-1)*c.DstStride+c.DstFirst+c.Rows, d)
				c.Src = in.normal((c.Batch-1)*c.SrcStride+c.SrcFirst+c.Rows+1, d)
				return one(c)
			}, "copy/%dx%dx%d/dst=%d+%d/src=%d+%d", c.Batch, c.Rows, d, c.DstStride, c.DstFirst, c.SrcStride, c.SrcFirst)
			g.add(func(in *inputs) []tensor.Op { // the other way round, added
				back := tensor.Copy{
					Batch: c.Batch, Rows: c.Rows, DstStride: c.SrcStride, DstFirst: c.SrcFirst,
					SrcStride: c.DstStride, SrcFirst: c.DstFirst, Add: true,
				}
				back.Dst = in.normal((back.Batch-1)*back.DstStride+back.DstFirst+back.Rows+1, d)
				back.Src = in.normal((back.Batch-1)*back.SrcStride+back.SrcFirst+back.Rows, d)
				return one(back)
			}, "copy/%dx%dx%d/dst=%d+%d/src=%d+%d/added", c.Batch, c.Rows, d, c.SrcStride, c.SrcFirst, c.DstStride, c.DstFirst)
		}
	}
}
