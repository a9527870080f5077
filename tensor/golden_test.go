package tensor_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/gpupeft/gpupeft/tensor"
)

// goldenTolerance is for two float64 programs that add in different orders.
const goldenTolerance = 1e-12

// golden holds the tensors of one case of testdata/ops.json, which PyTorch
// computed.
type golden struct {
	*graph
	tensors map[string][]float64
}

func newGolden(t *testing.T, name string) golden {
	t.Helper()
	data, err := os.ReadFile("testdata/ops.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string][]float64
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if all[name] == nil {
		t.Fatalf("testdata/ops.json has no %q", name)
	}
	return golden{newGraph(t), all[name]}
}

// load makes a tensor of stored values.
func (g golden) load(name string, shape ...int) *tensor.Tensor {
	t := g.junk(shape...)
	g.write(t, g.tensors[name])
	return t
}

// equal compares a computed tensor with the stored one.
func (g golden) equal(name string, t *tensor.Tensor) {
	g.Helper()
	g.close(name, g.read(t))
}

func (g golden) close(name string, got []float64) {
	g.Helper()
	want := g.tensors[name]
	if len(want) != len(got) {
		g.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= goldenTolerance*max(1, math.Abs(w))) {
			g.Errorf("%s, value %d: %.15g, want %.15g", name, i, got[i], w)
		}
	}
}

func TestGoldenRMSNorm(t *testing.T) {
	g := newGolden(t, "rmsnorm")
	x, w, dout := g.load("x", 5, 8), g.load("w", 8), g.load("dout", 5, 8)
	y, rms, dx, dw := g.junk(5, 8), g.junk(5), g.junk(5, 8), g.junk(8)
	g.run(tensor.RMSNorm{Out: y, RMS: rms, X: x, W: w, Eps: 1.0 / 1024},
		tensor.RMSNormDX{DX: dx, DOut: dout, X: x, W: w, RMS: rms},
		tensor.RMSNormDW{DW: dw, DOut: dout, X: x, RMS: rms})
	g.equal("out", y)
	g.equal("dx", dx)
	g.equal("dw", dw)
}

func TestGoldenGated(t *testing.T) {
	for name, act := range map[string]tensor.Activation{"silu": tensor.SiLU, "gelu": tensor.GELUTanh} {
		g := newGolden(t, name)
		gate, up, dout := g.load("gate", 21), g.load("up", 21), g.load("dout", 21)
		y, dgate, dup := g.junk(21), g.junk(21), g.junk(21)
		g.run(tensor.Gated{Out: y, Gate: gate, Up: up, Act: act},
			tensor.GatedBackward{DGate: dgate, DUp: dup, DOut: dout, Gate: gate, Up: up, Act: act})
		g.equal("out", y)
		g.equal("dgate", dgate)
		g.equal("dup", dup)
	}
}

func TestGoldenRoPE(t *testing.T) {
	g := newGolden(t, "rope")
	x, dout, table := g.load("x", 5, 12), g.load("dout", 5, 12), g.load("table", 5, 6)
	y, dx, pos := g.junk(5, 12), g.junk(5, 12), g.ints(0, 1, 2, 3, 4)
	g.run(tensor.RoPE{Out: y, X: x, Table: table, Pos: pos},
		tensor.RoPE{Out: dx, X: dout, Table: table, Pos: pos, Inverse: true})
	g.equal("out", y)
	g.equal("dx", dx)
}

func TestGoldenAttention(t *testing.T) {
	for name, h := range map[string]tensor.Heads{
		"attention":                  {Batch: 2, Queries: 6, Keys: 6, Heads: 4, KVHeads: 2, Dim: 4},
		"attention window softcap":   {Batch: 1, Queries: 6, Keys: 6, Heads: 2, KVHeads: 1, Dim: 4, Window: 3, SoftCap: 1.5},
		"attention prefix documents": {Batch: 1, Queries: 6, Keys: 8, Heads: 2, KVHeads: 2, Dim: 4, First: 2, Prefix: 2},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGolden(t, name)
			h.Scale = 0.5
			var segment *tensor.Tensor
			if h.Prefix > 0 {
				segment = g.ints(-1, -1, 0, 0, 0, 1, 1, 1)
			}
			queries, keys := []int{h.Batch * h.Queries, h.Heads * h.Dim}, []int{h.Batch * h.Keys, h.KVHeads * h.Dim}
			a := attended{
				q: g.load("q", queries...), k: g.load("k", keys...), v: g.load("v", keys...), dz: g.load("dout", queries...),
				dq: g.junk(queries...), dk: g.junk(keys...), dv: g.junk(keys...), z: g.junk(queries...),
			}
			forward, backward := a.streamed(g.graph, h, segment)
			g.run(append(forward, backward...)...)
			g.equal("out", a.z)
			g.equal("dq", a.dq)
			g.equal("dk", a.dk)
			g.equal("dv", a.dv)
			var lse []float64
			for i, v := range g.read(forward[0].(tensor.Attention).Stats) {
				if i%2 == 0 {
					lse = append(lse, v)
				}
			}
			g.close("lse", lse)
		})
	}
}

func TestGoldenCrossEntropy(t *testing.T) {
	g := newGolden(t, "crossentropy")
	logits, stats, targets := g.load("logits", 4, 9), g.junk(4, tensor.StatsWidth), []int32{3, -100, 0, 8}
	g.run(tensor.CrossEntropy{Stats: stats, Logits: logits, Targets: g.ints(targets...)})
	var loss float64
	s := g.read(stats)
	for m, target := range targets {
		row := g.tensors["logits"][9*m : 9*m+9]
		best := int(s[4*m+3])
		for v, x := range row {
			if x > row[best] {
				t.Errorf("row %d: argmax %d (%v), but value %d is %v", m, best, row[best], v, x)
			}
		}
		if target >= 0 {
			loss += math.Log(s[4*m+1]) + s[4*m] - s[4*m+2]
		}
	}
	g.close("loss", []float64{loss})
	g.run(tensor.CrossEntropyBackward{Logits: logits, Stats: stats, Targets: g.ints(targets...)})
	g.equal("dlogits", logits)
}

func TestGoldenAdamW(t *testing.T) {
	g := newGolden(t, "adamw")
	zeros := g.fill(func() float64 { return 0 }, 12)
	m, err := zeros.Slice(0, 6)
	g.must(err)
	v, err := zeros.Slice(6, 12)
	g.must(err)
	param, sums, clip := g.load("param", 6), g.junk(4), g.junk(2)
	for n := range 3 {
		grad := g.load(fmt.Sprintf("grad%d", n), 6)
		g.run(tensor.SumSquares{Out: sums, X: grad},
			tensor.ClipNorm{Clip: clip, Sums: sums, Max: 1},
			tensor.AdamW{
				Param: param, M: m, V: v, Grad: grad, Clip: clip, LR: 0.125, Beta1: 0.875, Beta2: 0.96875,
				Eps: 1.0 / 1024, WeightDecay: 0.0625, Step: n + 1,
			})
		g.close(fmt.Sprintf("norm%d", n), g.read(clip)[:1])
		g.equal(fmt.Sprintf("param%d", n), param)
	}
}
