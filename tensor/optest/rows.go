package optest

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// manyRows is more than a GPU dispatches in one dimension.
const manyRows = 65537

// rowShapes are counts of rows of every length.
func rowShapes() [][2]int {
	var all [][2]int
	for at, d := range lengths {
		all = append(all, [2]int{1, d}, [2]int{[]int{2, 3, 65}[at%3], d})
	}
	return append(all, [2]int{257, 64}, [2]int{7, 1024}, [2]int{2, 5003}, [2]int{manyRows, 3})
}

func (g *grid) rmsNorm() {
	for at, s := range rowShapes() {
		n, d := s[0], s[1]
		for _, offset := range []float32{0, 1} {
			add := at%2 == 1
			g.add(func(in *inputs) []tensor.Op {
				// Eps is large enough that the gradient of a row of one value is no mere rounding error.
				x, w, rms, dout := in.normal(n, d), in.normal(d), in.normal(n), in.normal(n, d)
				return []tensor.Op{
					tensor.RMSNorm{Out: in.normal(n, d), RMS: rms, X: x, W: w, Eps: 0.1, Offset: offset},
					tensor.RMSNormDX{DX: in.normal(n, d), DOut: dout, X: x, W: w, RMS: rms, Offset: offset, Add: add},
					tensor.RMSNormDW{DW: in.normal(d), DOut: dout, X: x, RMS: rms, Add: !add},
				}
			}, "rmsnorm/%dx%d/offset=%v/add=%v", n, d, offset, add)
		}
	}
}

func (g *grid) normSteps() {
	for at, s := range rowShapes() {
		n, d := s[0], s[1]
		add := at%2 == 1
		g.add(func(in *inputs) []tensor.Op {
			divisor := in.values(tensor.F32, func(int) float32 { return 0.5 + in.Float32() }, n)
			x := in.normal(n, d)
			return []tensor.Op{
				tensor.RMS{Out: in.normal(n), X: x, Eps: 0.1},
				tensor.RMSBackward{DX: in.normal(n, d), DOut: in.normal(n), X: x, Eps: 0.1},
				tensor.RowDivide{Out: in.normal(n, d), X: x, S: divisor, Add: add},
				tensor.RowDivideDS{DS: in.normal(n), DOut: in.normal(n, d), X: x, S: divisor},
			}
		}, "normsteps/%dx%d/add=%v", n, d, add)
	}
}

func (g *grid) columns() {
	for at, s := range rowShapes() {
		n, d := s[0], s[1]
		add := at%2 == 1
		g.add(func(in *inputs) []tensor.Op {
			return []tensor.Op{
				tensor.ColumnScale{Out: in.normal(n, d), X: in.normal(n, d), S: in.normal(d), Add: add},
				tensor.ColumnSums{Out: in.normal(d), A: in.normal(n, d), B: in.normal(n, d), Add: !add},
				tensor.ColumnSums{Out: in.normal(d), A: in.normal(n, d), Add: add},
			}
		}, "columns/%dx%d/add=%v", n, d, add)
	}
}

func (g *grid) lstm() {
	for _, rows := range []int{1, 2, 5, 20} {
		for _, h := range []int{1, 3, 8, 63, 64, 130} {
			reverse := (rows+h)%2 == 0
			g.add(func(in *inputs) []tensor.Op {
				weights := func(int) float32 { return float32(in.NormFloat64() / math.Sqrt(float64(h))) }
				w, gates, c := in.values(tensor.F32, weights, 4*h, h), in.normal(rows, 4*h), in.normal(rows, h)
				return []tensor.Op{
					tensor.LSTM{H: in.normal(rows, h), C: c, Gates: gates, X: in.normal(rows, 4*h), W: w, Reverse: reverse},
					tensor.LSTMBackward{
						DX: in.normal(rows, 4*h), DC: in.normal(rows, h), DH: in.normal(rows, h), C: c, Gates: gates,
						W: w, Reverse: reverse,
					},
				}
			}, "lstm/%dx%d/reverse=%v", rows, h, reverse)
		}
	}
}

func (g *grid) softmax() {
	for at, s := range rowShapes() {
		n, d := s[0], s[1]
		g.add(func(in *inputs) []tensor.Op {
			masked := func(i int) float32 {
				if i%3 == at%3 || i/d == 1 { // single values, and all of row 1
					return float32(math.Inf(-1))
				}
				return float32(8 * in.NormFloat64())
			}
			x, out := in.values(tensor.F32, masked, n, d), in.normal(n, d)
			return []tensor.Op{
				tensor.Softmax{Out: out, X: x},
				tensor.SoftmaxBackward{DX: in.normal(n, d), DOut: in.normal(n, d), Out: out},
			}
		}, "softmax/%dx%d", n, d)
	}
}

func (g *grid) rope() {
	const positions = 50
	for _, h := range []int{2, 4, 6, 8, 20, 64, 96, 128, 256} {
		for at, n := range []int{1, 5, 65, manyRows} {
			for _, heads := range []int{1, 3} {
				for _, inverse := range []bool{false, true} {
					add := (at+heads/2)%2 == 1
					if n == manyRows && (h > 2 || heads > 1) {
						continue
					}
					g.add(func(in *inputs) []tensor.Op {
						angles := func(i int) float32 {
							angle := float64(i/h) * math.Pow(10000, -float64(i%h%(h/2))/float64(h/2))
							if i%h < h/2 {
								return float32(math.Cos(angle))
							}
							return float32(math.Sin(angle))
						}
						return one(tensor.RoPE{
							Out: in.normal(n, heads*h), X: in.normal(n, heads*h),
							Table: in.values(tensor.F32, angles, positions, h), Pos: in.below(n, 0, positions), Inverse: inverse, Add: add,
						})
					}, "rope/%dx%dx%d/inverse=%v/add=%v", n, heads, h, inverse, add)
				}
			}
		}
	}
}

func (g *grid) crossEntropy() {
	for _, m := range []int{1, 5, 33} {
		for at, vocab := range []int{2, 5, 64, 100, 257, 1030, 4099} {
			for parts := 1; parts <= 4 && parts <= vocab; parts++ {
				for _, limit := range []float32{0, 5} {
					s := scales[at%len(scales)]
					g.add(func(in *inputs) []tensor.Op { return crossEntropy(in, m, vocab, parts, limit, s) },
						"crossentropy/%dx%d/parts=%d/softcap=%v", m, vocab, parts, limit)
				}
			}
		}
	}
}

// crossEntropy folds all parts and then takes each back.
func crossEntropy(in *inputs, m, vocab, parts int, limit, scale float32) []tensor.Op {
	var forward, backward []tensor.Op
	stats, targets := in.normal(m, tensor.StatsWidth), in.below(m, -1, vocab)
	for p := range parts {
		first, end := p*vocab/parts, (p+1)*vocab/parts
		logits := in.values(tensor.F32, func(int) float32 { return float32(3 * in.NormFloat64()) }, m, end-first)
		forward = append(forward, tensor.CrossEntropy{Stats: stats, Logits: logits, Targets: targets, First: first, SoftCap: limit})
		backward = append(backward, tensor.CrossEntropyBackward{Logits: logits, Stats: stats, Targets: targets, First: first, SoftCap: limit, Scale: scale})
	}
	return append(forward, backward...)
}
