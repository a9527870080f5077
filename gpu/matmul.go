package gpu

import (
	"github.com/gpupeft/gpupeft/tensor"
)

// form says which of its two matrices a product takes transposed.
type form uint8

const (
	nt form = iota // c[m,n] = Σ_k a[m,k]·w[n,k], the forward pass
	nn             // c[m,n] = Σ_k a[m,k]·w[k,n], the gradient of the input
	tn             // c[m,n] = Σ_k a[k,m]·w[k,n], the gradient of the weight
)

func (f form) String() string { return [...]string{"nt", "nn", "tn"}[f] }

// A product is one matrix operation in the terms of shaders/matmul.wgsl.
type product struct {
	form    form
	c, a, w *tensor.Tensor
	m, n, k int
	scale   float32
	add     bool
}

func (r *recorder) matmul(o tensor.MatMul) error {
	return r.product(product{
		form: nt, c: o.Out, a: o.X, w: o.W,
		m: o.X.Rows(), n: o.W.Rows(), k: o.W.Cols(), scale: one(o.Scale), add: o.Add,
	})
}

func (r *recorder) matmulDX(o tensor.MatMulDX) error {
	return r.product(product{
		form: nn, c: o.DX, a: o.DOut, w: o.W,
		m: o.DOut.Rows(), n: o.W.Cols(), k: o.W.Rows(), scale: one(o.Scale), add: o.Add,
	})
}

func (r *recorder) matmulDW(o tensor.MatMulDW) error {
	return r.product(product{
		form: tn, c: o.DW, a: o.DOut, w: o.X,
		m: o.DOut.Cols(), n: o.X.Cols(), k: o.X.Rows(), scale: one(o.Scale), add: o.Add,
	})
}

// A block is the part of a product that one dispatch computes: rows [m0, m1) and
// columns [n0, n1) of c, summed over [k0, k1).
type block struct{ m0, m1, n0, n1, k0, k1 int }

func (b block) m() int         { return b.m1 - b.m0 }
func (b block) n() int         { return b.n1 - b.n0 }
func (b block) k() int         { return b.k1 - b.k0 }
func (b block) flops() float64 { return 2 * float64(b.m()) * float64(b.n()) * float64(b.k()) }

// maxInner bounds the inner dimension of one dispatch by the loop steps of the
// kernel that makes most of them for it: one for each k, and one for each tile.
const maxInner = MaxLoopSteps * 9 / 10 / 64 * 64

// product records a product block by block: no more than a binding holds, and no
// more than a fraction of a second of work.
func (r *recorder) product(x product) error {
	most := r.blockSize(x)
	aRow, wRow, cRow := rowBytes(x.a), rowBytes(x.w), rowBytes(x.c)
	// The operands whose rows a dimension counts; the others aren't cut with it.
	mRows, nRows, kRows := []int64{aRow, cRow}, []int64{wRow}, []int64(nil)
	switch x.form {
	case nn:
		nRows, kRows = nil, []int64{wRow}
	case tn:
		mRows, nRows, kRows = []int64{cRow}, nil, []int64{aRow, wRow}
	}
	ns, ks := r.parts(x.n, most.n1, nRows...), r.parts(x.k, most.k1, kRows...)
	switch x.form { // rows of w may lie in several buffers
	case nt:
		ns = r.partsOf(x.w, most.n1, nRows...)
	case nn:
		ks = r.partsOf(x.w, most.k1, kRows...)
	}
	for m0, m1 := range r.parts(x.m, most.m1, mRows...) {
		for n0, n1 := range ns {
			for k0, k1 := range ks {
				if err := r.productBlock(x, block{m0, m1, n0, n1, k0, k1}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// blockSize bounds the block of one dispatch by its loops, its grid, the cache and the time
// it takes: that first by fewer tokens, down to 64, then by fewer rows of w. Tiles stay
// whole, and blocks about as large as each other.
func (r *recorder) blockSize(x product) block {
	widest := narrowest * int(r.limits.WorkgroupsPerDim)
	b := block{m1: min(x.m, widest), n1: x.n, k1: min(x.k, maxInner)}
	if x.form == nt {
		b.n1 = min(x.n, widest)
		b.k1 = x.k // bounded by parts of k in one dispatch, see splitsOf
	}
	tokens, rows := &b.m1, &b.n1
	switch x.form {
	case nn:
		rows = &b.k1
		if r.tune.cache > 0 {
			b.k1 = evenly(b.k1, max(64, int(r.tune.cache/rowBytes(x.w))))
		}
	case tn:
		tokens, rows = &b.k1, &b.m1
	}
	for _, d := range []*int{tokens, rows} {
		if over := b.flops() / r.tune.dispatchFlops; over > 1 {
			*d = evenly(*d, max(64, int(float64(*d)/over)))
		}
	}
	return b
}

// evenly is the size of parts of n that are at most as large as most, which is at least
// 64, about as large as each other, and multiples of 64.
func evenly(n, most int) int {
	most = most / 64 * 64
	return min(n, ceilDiv(ceilDiv(n, ceilDiv(n, most)), 64)*64)
}

func rowBytes(t *tensor.Tensor) int64 { return t.DType.Bytes(t.Cols()) }

// matmulParams are Params of shaders/matmul.wgsl.
type matmulParams struct {
	M, N, K      uint32
	ARow, AFirst uint32
	WRow         uint32
	CRow, CFirst uint32
	KPart, CPart uint32
	Scale        float32
	Accumulate   uint32
}

// sumParams are Params of shaders/matmul_sum.wgsl.
type sumParams struct {
	M, N, Parts  uint32
	CRow, CFirst uint32
	Scale        float32
	Accumulate   uint32
}

func (r *recorder) productBlock(x product, b block) error {
	prog := r.tileFor(x, b)
	groups := prog.grid(b.m(), b.n())
	splits := r.splitsOf(prog, groups, b)
	add := x.add || b.k0 > 0
	p := matmulParams{
		M: uint32(b.m()), N: uint32(b.n()), K: uint32(b.k()),
		ARow: uint32(x.a.Cols()), WRow: uint32(x.w.Cols()),
		CRow: uint32(x.c.Cols()), CFirst: uint32(b.n0),
		KPart: uint32(b.k()), Scale: x.scale, Accumulate: flag(add),
	}
	a, w, c := rowsOf(x.a, b.m0, b.m1), rowsOf(x.w, b.k0, b.k1), rowsOf(x.c, b.m0, b.m1)
	switch x.form {
	case nt:
		w = rowsOf(x.w, b.n0, b.n1)
	case nn:
		p.AFirst = uint32(b.k0)
	case tn:
		a, p.AFirst = rowsOf(x.a, b.k0, b.k1), uint32(b.m0)
	}
	first := task{program: prog, operands: []operand{a, w, c}, cost: b.flops(), shape: [3]int{b.m(), b.n(), b.k()}}
	if splits == 1 {
		first.params, first.groups, first.steps = p, groups, prog.steps(b.k())
		return r.add(first)
	}
	return r.splitProduct(first, p, groups, splits)
}

// splitProduct has splits parts of k computed side by side into a buffer, and then
// added up in their order.
func (r *recorder) splitProduct(first task, p matmulParams, groups [3]uint32, splits int) error {
	m, n := int(p.M), int(p.N)
	share := ceilDiv(ceilDiv(int(p.K), splits), 64) * 64
	splits = ceilDiv(int(p.K), share)
	sums, err := r.partial(splits * m * n)
	if err != nil {
		return err
	}
	second := task{
		program:  file{names: "matmul_sum", entry: "forward", consts: elementwiseConsts{elementwiseThreads}},
		operands: []operand{sums, first.operands[2]},
		params:   sumParams{p.M, p.N, uint32(splits), p.CRow, p.CFirst, p.Scale, p.Accumulate},
		groups:   r.fold(ceilDiv(m*n, elementwiseThreads)),
		cost:     float64(splits * m * n),
		steps:    splits,
	}
	prog := first.program.(tile)
	p.CRow, p.CFirst, p.Scale, p.Accumulate = p.N, 0, 1, 0
	p.KPart, p.CPart = uint32(share), p.M*p.N
	groups[2] = uint32(splits)
	first.operands[2] = sums
	first.params, first.groups, first.steps = p, groups, prog.steps(share)
	return r.add(first, second)
}

// splitsOf says into how many parts of k a block is split: one if c alone keeps the
// cores busy, or where many lanes share k anyway.
func (r *recorder) splitsOf(t tile, groups [3]uint32, b block) int {
	const many = 32
	const shortest = 256 // a part of k below which the second pass costs more than it brings
	splits := 1
	if busy := int(groups[0]*groups[1]) * t.threads(); busy < r.tune.fill && !(t.kind == rowsTile && t.lanesN >= many) {
		splits = max(1, min(ceilDiv(r.tune.fill, busy), b.k()/shortest))
	}
	return max(splits, ceilDiv(b.k(), maxInner))
}
