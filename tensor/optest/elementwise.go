package optest

import (
	"math"

	"github.com/gpupeft/gpupeft/tensor"
)

// flatLengths adds lengths beyond one dispatch of a small grid.
func flatLengths() []int { return append([]int{1023, 4100, 70001}, lengths...) }

func (g *grid) elementwise() {
	for at, n := range flatLengths() {
		f := scales[at%len(scales)]
		g.add(func(in *inputs) []tensor.Op {
			return one(tensor.Add{Out: in.normal(n), A: in.normal(n), B: in.normal(n)})
		}, "add/%d", n)
		g.add(func(in *inputs) []tensor.Op {
			return one(tensor.Scale{Out: in.normal(n), X: in.normal(n), Factor: f})
		}, "scale/%d", n)
		g.add(func(in *inputs) []tensor.Op {
			return one(tensor.Scale{Out: in.normal(n), X: in.normal(n), Factor: f, Add: true})
		}, "scale/%d/add", n)
		g.exact(func(in *inputs) []tensor.Op {
			return one(tensor.Fill{Out: in.normal(n), Value: 0.1})
		}, "fill/%d", n)
		g.add(func(in *inputs) []tensor.Op {
			positive := in.values(tensor.F32, func(int) float32 { return 0.1 + 3*in.Float32() }, n)
			return one(tensor.DivRoot{Out: in.normal(n), X: in.normal(n), S: positive, Add: at%2 == 0})
		}, "divroot/%d", n)
		g.add(func(in *inputs) []tensor.Op {
			return one(tensor.Dropout{
				Out: in.normal(n), X: in.normal(n), P: []float32{0, 0.1, 0.5, 0.999}[at%4],
				Seed: uint64(n) << 30, Add: at%2 == 1,
			})
		}, "dropout/%d", n)
		g.add(func(in *inputs) []tensor.Op {
			out := in.normal(n)
			return []tensor.Op{
				tensor.SoftCap{Out: out, X: in.normal(n), Cap: 1.5},
				tensor.SoftCapBackward{DX: in.normal(n), DOut: in.normal(n), Out: out, Cap: 1.5},
			}
		}, "softcap/%d", n)
	}
}

func (g *grid) edit() {
	for _, n := range flatLengths() {
		g.add(func(in *inputs) []tensor.Op {
			masked := func(i int) float32 {
				if i%3 == 1 {
					return float32(math.Inf(-1))
				}
				return float32(in.NormFloat64())
			}
			return []tensor.Op{
				tensor.Edit{X: in.values(tensor.F32, masked, n), Factor: in.normal(n)},
				tensor.Edit{X: in.values(tensor.F32, masked, n), Factor: in.normal(n), Shift: in.normal(n)},
			}
		}, "edit/%d", n)
	}
}

func (g *grid) gated() {
	for at, n := range flatLengths() {
		for _, act := range tensor.Activations() {
			if act > tensor.GELUTanh && at%4 != 0 {
				continue
			}
			wide := func(in *inputs) *tensor.Tensor {
				return in.values(tensor.F32, func(int) float32 { return float32(4 * in.NormFloat64()) }, n)
			}
			g.add(func(in *inputs) []tensor.Op { return gatedOps(in, act, wide(in), in.normal(n), n) }, "gated/%v/%d", act, n)
			g.add(func(in *inputs) []tensor.Op { return gatedOps(in, act, wide(in), nil, n) }, "gated/%v/%d/alone", act, n)
		}
	}
	for _, act := range tensor.Activations() {
		g.add(func(in *inputs) []tensor.Op { // where exponentials overflow
			gate := in.values(tensor.F32, func(i int) float32 { return float32(i-32) * 20 }, 65)
			return gatedOps(in, act, gate, in.normal(65), 65)
		}, "gated/%v/saturated", act)
	}
}

// gatedOps are both directions; up may be nil.
func gatedOps(in *inputs, act tensor.Activation, gate, up *tensor.Tensor, n int) []tensor.Op {
	back := tensor.GatedBackward{DGate: in.normal(n), DOut: in.normal(n), Gate: gate, Up: up, Act: act}
	if up != nil {
		back.DUp = in.normal(n)
	}
	return []tensor.Op{tensor.Gated{Out: in.normal(n), Gate: gate, Up: up, Act: act}, back}
}

func (g *grid) adamW() {
	for at, n := range []int{1, 5, 63, 64, 257, 1000, 33001} {
		for _, steps := range []int{1, 4} {
			for _, decay := range []float32{0, 0.1} {
				g.add(func(in *inputs) []tensor.Op {
					o := tensor.AdamW{
						Param: in.normal(n), M: in.constant(0, n), V: in.constant(0, n), Clip: in.constant(0.25, 2),
						LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: decay,
					}
					var ops []tensor.Op
					for step := range steps {
						o.Grad, o.Step = in.normal(n), at+step+1
						ops = append(ops, o)
					}
					return ops
				}, "adamw/%d/steps=%d/decay=%v", n, steps, decay)
			}
		}
	}
}

func (g *grid) lionAndSGD() {
	for _, n := range []int{1, 5, 63, 64, 257, 1000, 33001} {
		for _, decay := range []float32{0, 0.1} {
			g.add(func(in *inputs) []tensor.Op {
				o := tensor.Lion{Param: in.normal(n), M: in.constant(0, n), Clip: in.constant(0.25, 2), LR: 0.1, Beta1: 0.9, Beta2: 0.99, WeightDecay: decay}
				return threeSteps(func() tensor.Op { o.Grad = in.normal(n); return o })
			}, "lion/%d/decay=%v", n, decay)
			g.add(func(in *inputs) []tensor.Op {
				o := tensor.SGD{Param: in.normal(n), M: in.constant(0, n), Clip: in.constant(0.25, 2), LR: 0.1, Momentum: 0.9, WeightDecay: decay}
				return threeSteps(func() tensor.Op { o.Grad = in.normal(n); return o })
			}, "sgd/%d/decay=%v", n, decay)
		}
	}
}

func threeSteps(step func() tensor.Op) []tensor.Op { return []tensor.Op{step(), step(), step()} }

// adamW8 has numbers whose moments have no rounding errors and are not as near to one
// fraction as to another, so that codes must be equal.
func (g *grid) adamW8() {
	for at, n := range []int{1, 3, 63, 64, 255, 256, 257, 1000, 33001} {
		for _, decay := range []float32{0, 0.1} {
			g.add(func(in *inputs) []tensor.Op {
				blocks := tensor.MomentBlocks(n)
				words := func() *tensor.Tensor { return in.ints(blocks*tensor.MomentBlock/4, func(int) int { return 0 }) }
				grad := in.values(tensor.F32, func(i int) float32 {
					if i%tensor.MomentBlock == 0 {
						return 4 // the largest
					}
					return float32(in.IntN(513)-256) / 64
				}, n)
				return one(tensor.AdamW8{
					Param: in.normal(n), M: words(), V: words(), MMax: in.constant(0, blocks), VMax: in.constant(0, blocks),
					Grad: grad, Clip: in.constant(0.25, 2), Maps: in.values(tensor.F32, dynamicMap, 512),
					LR: 0.1, Beta1: 0.5, Beta2: 0.75, Eps: 1e-8, WeightDecay: decay, Step: at + 1,
				})
			}, "adamw8/%d/decay=%v", n, decay)
		}
	}
}

func dynamicMap(i int) float32 { return tensor.DynamicMap(i < 256)[i%256] }

func (g *grid) adafactor() {
	for at, shape := range [][3]int{{1, 1, 1}, {1, 1, 63}, {1, 65, 1}, {1, 5, 7}, {1, 64, 257}, {3, 5, 17}, {2, 130, 64}, {1, 3, 4100}, {1, 1023, 65}} {
		matrices, rows, cols := shape[0], shape[1], shape[2]
		for _, decay := range []float32{0, 0.1} {
			g.add(func(in *inputs) []tensor.Op {
				n := matrices * rows
				o := tensor.Adafactor{
					Param: in.normal(n, cols), Row: in.constant(0, n), Col: in.constant(0, matrices*cols), Clip: in.constant(0.25, 2),
					Matrices: matrices, LR: 0.1, WeightDecay: decay, Step: at % 2,
				}
				return threeSteps(func() tensor.Op { o.Grad = in.normal(n, cols); o.Step++; return o })
			}, "adafactor/%dx%dx%d/decay=%v", matrices, rows, cols, decay)
		}
	}
}

func (g *grid) norm() {
	for _, n := range []int{1, 7, 64, 1000, 4099} {
		for _, k := range []int{1, 2, 3, 64} {
			for _, most := range []float32{0, 0.5, 1e6} {
				g.add(func(in *inputs) []tensor.Op {
					sums := in.normal(k)
					return []tensor.Op{
						tensor.SumSquares{Out: sums, X: in.normal(n)},
						tensor.ClipNorm{Clip: in.normal(2), Sums: sums, Max: most},
					}
				}, "norm/%d/parts=%d/max=%v", n, k, most)
			}
		}
	}
}
