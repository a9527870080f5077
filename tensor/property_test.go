package tensor_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/tensor/optest"
)

// definitions compute operations of random shapes, and what they are by definition: plain sums over
// indices in float64, without anything of the backend's own.
var definitions = map[string]func(d *drawn){
	"matmul": matmulByDefinition, "rmsnorm": rmsNormByDefinition, "softmax": softmaxByDefinition, "rope": ropeByDefinition,
	"gated": gatedByDefinition, "embed": embedByDefinition, "crossentropy": crossEntropyByDefinition, "attention": attentionByDefinition,
}

// shapesEach is how many shapes of an operation are drawn a time.
const shapesEach = 5

// TestAnyShape compares the CPU backend with the definitions of the main operations.
func TestAnyShape(t *testing.T) {
	for name, define := range definitions {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				b := tensor.NewCPU(rapid.IntRange(1, 3).Draw(r, "workers"))
				defer b.Close()
				for range shapesEach {
					define(&drawn{r, rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "values"), 0)), t.Context(), b})
				}
			})
		})
	}
}

// drawn makes the operands of operations.
type drawn struct {
	*rapid.T
	*rand.Rand
	ctx context.Context
	b   *tensor.CPU
}

func (d *drawn) size(name string, most int) int { return rapid.IntRange(1, most).Draw(d.T, name) }

func (d *drawn) yes(name string) bool { return rapid.Bool().Draw(d.T, name) }

// normal makes a tensor of random values, and returns them.
func (d *drawn) normal(shape ...int) (*tensor.Tensor, []float64) {
	return d.weight(tensor.F32, shape...)
}

// weight makes a tensor of any type, and returns the values that it stores.
func (d *drawn) weight(dt tensor.DType, shape ...int) (*tensor.Tensor, []float64) {
	n := 1
	for _, s := range shape {
		n *= s
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(d.NormFloat64())
	}
	data := tensor.Pack(nil, dt, values)
	x := d.made(d.b.New("x", dt, shape...))
	if err := d.b.Write(d.ctx, x, data); err != nil {
		d.Fatal(err)
	}
	wide := make([]float64, n)
	for i, v := range tensor.Unpack(nil, dt, data) {
		wide[i] = float64(v)
	}
	return x, wide
}

// ids makes a tensor of integers from low up to high.
func (d *drawn) ids(n, low, high int) (*tensor.Tensor, []int32) {
	values := make([]int32, n)
	for i := range values {
		values[i] = int32(low + d.IntN(high-low))
	}
	return d.made(tensor.FromInts(d.ctx, d.b, "ids", values, n)), values
}

// room is a tensor to be overwritten.
func (d *drawn) room(shape ...int) *tensor.Tensor {
	x := d.made(d.b.New("x", tensor.F32, shape...))
	d.do(tensor.Fill{Out: x, Value: float32(math.NaN())})
	return x
}

func (d *drawn) made(x *tensor.Tensor, err error) *tensor.Tensor {
	if err != nil {
		d.Fatal(err)
	}
	return x
}

func (d *drawn) do(list ...tensor.Op) {
	if err := submit(d.ctx, d.b, list...); err != nil {
		d.Fatal(err)
	}
}

// near compares a result with its definition, as the conformance suite does: numbers around 1.
func (d *drawn) near(name string, x *tensor.Tensor, want []float64) {
	d.Helper()
	d.beside(name, x, want, 1e-3)
}

// beside is near for results that are rounding errors below a root mean square of negligible.
func (d *drawn) beside(name string, x *tensor.Tensor, want []float64, negligible float64) {
	d.Helper()
	values, err := tensor.Floats(d.ctx, d.b, x)
	if err != nil {
		d.Fatal(err)
	}
	got := make([]float64, len(values))
	for i, v := range values {
		got[i] = float64(v)
	}
	name = fmt.Sprint(name, x.Shape)
	if err := optest.Compare([]optest.Output{{Name: name, Values: got}}, []optest.Output{{Name: name, Values: want, Negligible: negligible}}, optest.Tolerance); err != nil {
		d.Error(err)
	}
}

// table fills a matrix of rows × cols.
func table(rows, cols int, value func(r, c int) float64) []float64 {
	out := make([]float64, 0, rows*cols)
	for r := range rows {
		for c := range cols {
			out = append(out, value(r, c))
		}
	}
	return out
}

// total is the sum of n terms.
func total(n int, term func(i int) float64) (sum float64) {
	for i := range n {
		sum += term(i)
	}
	return sum
}

func matmulByDefinition(d *drawn) {
	dt := rapid.SampledFrom(floatTypes).Draw(d.T, "type")
	m, n, k := d.size("m", 70), d.size("n", 70), d.size("k", 90)
	if dt.Quantized() {
		n, k = 1+n%5, dt.Block()*(1+k%2)
	}
	x, xs := d.normal(m, k)
	w, ws := d.weight(dt, n, k)
	dy, dys := d.normal(m, n)
	y, ys := d.normal(m, n)
	dx, dw := d.room(m, k), d.room(n, k)
	factor := float32(d.NormFloat64())
	s := float64(factor)
	d.do(tensor.MatMul{Out: y, X: x, W: w, Scale: factor, Add: true}, tensor.MatMulDX{DX: dx, DOut: dy, W: w, Scale: factor}, tensor.MatMulDW{DW: dw, DOut: dy, X: x, Scale: factor})
	d.near("matmul", y, table(m, n, func(r, c int) float64 {
		return ys[r*n+c] + s*total(k, func(i int) float64 { return xs[r*k+i] * ws[c*k+i] })
	}))
	d.near("matmul.dx", dx, table(m, k, func(r, c int) float64 {
		return s * total(n, func(i int) float64 { return dys[r*n+i] * ws[i*k+c] })
	}))
	d.near("matmul.dw", dw, table(n, k, func(r, c int) float64 {
		return s * total(m, func(i int) float64 { return dys[i*n+r] * xs[i*k+c] })
	}))
}

func rmsNormByDefinition(d *drawn) {
	n, c, offset := d.size("rows", 12), d.size("columns", 200), float32(d.IntN(2))
	x, xs := d.normal(n, c)
	w, ws := d.normal(c)
	dy, dys := d.normal(n, c)
	y, rms, dx, dw := d.room(n, c), d.room(n), d.room(n, c), d.room(c)
	d.do(tensor.RMSNorm{Out: y, RMS: rms, X: x, W: w, Eps: 0.01, Offset: offset},
		tensor.RMSNormDX{DX: dx, DOut: dy, X: x, W: w, RMS: rms, Offset: offset}, tensor.RMSNormDW{DW: dw, DOut: dy, X: x, RMS: rms})
	root := func(r int) float64 {
		return math.Sqrt(total(c, func(i int) float64 { return xs[r*c+i] * xs[r*c+i] })/float64(c) + float64(float32(0.01)))
	}
	g := func(i int) float64 { return float64(offset) + ws[i] }
	d.near("rmsnorm", y, table(n, c, func(r, i int) float64 { return xs[r*c+i] / root(r) * g(i) }))
	d.near("rmsnorm.dw", dw, table(1, c, func(_, i int) float64 {
		return total(n, func(r int) float64 { return dys[r*c+i] * xs[r*c+i] / root(r) })
	}))
	d.near("rmsnorm.dx", dx, table(n, c, func(r, i int) float64 {
		along := total(c, func(j int) float64 { return dys[r*c+j] * g(j) * xs[r*c+j] })
		return dys[r*c+i]*g(i)/root(r) - xs[r*c+i]*along/(float64(c)*math.Pow(root(r), 3))
	}))
}

func softmaxByDefinition(d *drawn) {
	n, c := d.size("rows", 12), d.size("columns", 200)
	x, xs := d.normal(n, c)
	dy, dys := d.normal(n, c)
	y, dx := d.room(n, c), d.room(n, c)
	d.do(tensor.Softmax{Out: y, X: x}, tensor.SoftmaxBackward{DX: dx, DOut: dy, Out: y})
	p := table(n, c, func(r, i int) float64 {
		return math.Exp(xs[r*c+i]) / total(c, func(j int) float64 { return math.Exp(xs[r*c+j]) })
	})
	d.near("softmax", y, p)
	d.near("softmax.backward", dx, table(n, c, func(r, i int) float64 {
		return p[r*c+i] * (dys[r*c+i] - total(c, func(j int) float64 { return dys[r*c+j] * p[r*c+j] }))
	}))
}

func ropeByDefinition(d *drawn) {
	n, heads, half, positions := d.size("rows", 12), d.size("heads", 5), d.size("half", 40), d.size("positions", 50)
	x, xs := d.normal(n, heads*2*half)
	angles, as := d.normal(positions, 2*half)
	pos, ps := d.ids(n, 0, positions)
	y, inverse := d.room(n, heads*2*half), d.room(n, heads*2*half)
	d.do(tensor.RoPE{Out: y, X: x, Table: angles, Pos: pos}, tensor.RoPE{Out: inverse, X: x, Table: angles, Pos: pos, Inverse: true})
	rotated := func(sign float64) []float64 {
		return table(n, heads*2*half, func(r, i int) float64 {
			row, j := xs[r*heads*2*half+i/(2*half)*2*half:], i%(2*half)
			cos, sin := as[int(ps[r])*2*half+j%half], sign*as[int(ps[r])*2*half+half+j%half]
			if j < half {
				return row[j]*cos - row[j+half]*sin
			}
			return row[j]*cos + row[j-half]*sin
		})
	}
	d.near("rope", y, rotated(1))
	d.near("rope inverse", inverse, rotated(-1))
}

// activation is a function and its derivative.
func activation(a tensor.Activation, g float64) (value, slope float64) {
	sigmoid := 1 / (1 + math.Exp(-g))
	switch a {
	case tensor.SiLU:
		return g * sigmoid, sigmoid * (1 + g*(1-sigmoid))
	case tensor.GELUTanh:
		u, du := math.Sqrt(2/math.Pi)*(g+0.044715*g*g*g), math.Sqrt(2/math.Pi)*(1+3*0.044715*g*g)
		return g / 2 * (1 + math.Tanh(u)), (1+math.Tanh(u))/2 + g/2*(1-math.Tanh(u)*math.Tanh(u))*du
	case tensor.GELU:
		return g / 2 * (1 + math.Erf(g/math.Sqrt2)), (1+math.Erf(g/math.Sqrt2))/2 + g*math.Exp(-g*g/2)/math.Sqrt(2*math.Pi)
	case tensor.ReLU:
		if g > 0 {
			return g, 1
		}
		return 0, 0
	case tensor.LeakyReLU:
		if g > 0 {
			return g, 1
		}
		return 0.01 * g, 0.01
	case tensor.Sigmoid:
		return sigmoid, sigmoid * (1 - sigmoid)
	case tensor.Tanh:
		return math.Tanh(g), 1 - math.Tanh(g)*math.Tanh(g)
	}
	return g, 1
}

func gatedByDefinition(d *drawn) {
	a := rapid.SampledFrom(tensor.Activations()).Draw(d.T, "activation")
	n := d.size("values", 2000)
	gate, gs := d.normal(n)
	up, us := d.normal(n)
	dy, dys := d.normal(n)
	y, dgate, dup := d.room(n), d.room(n), d.room(n)
	d.do(tensor.Gated{Out: y, Gate: gate, Up: up, Act: a}, tensor.GatedBackward{DGate: dgate, DUp: dup, DOut: dy, Gate: gate, Up: up, Act: a})
	d.near(a.String(), y, table(1, n, func(_, i int) float64 { v, _ := activation(a, gs[i]); return v * us[i] }))
	d.near(a.String()+".up", dup, table(1, n, func(_, i int) float64 { v, _ := activation(a, gs[i]); return v * dys[i] }))
	d.near(a.String()+".gate", dgate, table(1, n, func(_, i int) float64 { _, slope := activation(a, gs[i]); return slope * us[i] * dys[i] }))
}

func embedByDefinition(d *drawn) {
	n, rows, c, prompt := d.size("tokens", 60), d.size("vocabulary", 40), d.size("width", 70), d.size("prompt", 6)
	ids, is := d.ids(n, -prompt, rows)
	w, ws := d.weight(rapid.SampledFrom(floatTypes[:3]).Draw(d.T, "type"), rows, c)
	extra, es := d.normal(prompt, c)
	dy, dys := d.normal(n, c)
	y, dtable, dextra := d.room(n, c), d.room(rows, c), d.room(prompt, c)
	d.do(tensor.Embed{Out: y, IDs: ids, Table: w, Extra: extra, Scale: 3, ExtraScale: 0.5},
		tensor.EmbedBackward{DTable: dtable, DOut: dy, IDs: ids, Scale: 3}, tensor.EmbedBackward{DTable: dextra, DOut: dy, IDs: ids, Scale: 0.5, Extra: true})
	d.near("embed", y, table(n, c, func(r, i int) float64 {
		if id := int(is[r]); id >= 0 {
			return 3 * ws[id*c+i]
		}
		return 0.5 * es[int(-1-is[r])*c+i]
	}))
	gradient := func(rows int, factor float64, id func(r int) int) []float64 {
		return table(rows, c, func(r, i int) float64 {
			return factor * total(n, func(j int) float64 {
				if int(is[j]) == id(r) {
					return dys[j*c+i]
				}
				return 0
			})
		})
	}
	d.near("embed.backward", dtable, gradient(rows, 3, func(r int) int { return r }))
	d.near("embed.backward of extra", dextra, gradient(prompt, 0.5, func(r int) int { return -1 - r }))
}

func crossEntropyByDefinition(d *drawn) {
	m, c := d.size("rows", 20), d.size("vocabulary", 300)
	cut := rapid.IntRange(0, c-1).Draw(d.T, "cut") // logits in two parts
	limit := rapid.SampledFrom([]float32{0, 1.5}).Draw(d.T, "soft cap")
	targets, ts := d.ids(m, -1, c)
	stats := d.room(m, tensor.StatsWidth)
	capped := func(x float64) (y, slope float64) {
		if limit == 0 {
			return x, 1
		}
		t := math.Tanh(x / float64(limit))
		return float64(limit) * t, 1 - t*t
	}
	var parts []*tensor.Tensor
	var values [][]float64
	for _, width := range []int{cut, c - cut} {
		if width > 0 {
			x, v := d.normal(m, width)
			parts, values = append(parts, x), append(values, v)
		}
	}
	first := 0
	for _, x := range parts {
		d.do(tensor.CrossEntropy{Stats: stats, Logits: x, Targets: targets, First: first, SoftCap: limit})
		first += x.Cols()
	}
	logit := func(r, i int) float64 {
		if cut > 0 && i < cut {
			return values[0][r*cut+i]
		}
		return values[len(values)-1][r*(c-cut)+i-cut]
	}
	sums := make([]float64, m) // of the exponentials
	for r := range sums {
		sums[r] = total(c, func(i int) float64 { y, _ := capped(logit(r, i)); return math.Exp(y) })
	}
	got, err := tensor.Floats(d.ctx, d.b, stats)
	if err != nil {
		d.Fatal(err)
	}
	for r, target := range ts {
		row := got[r*tensor.StatsWidth:][:tensor.StatsWidth]
		loss := math.Log(float64(row[1])) + float64(row[0]) - float64(row[2])
		want := math.Log(sums[r])
		if target >= 0 {
			y, _ := capped(logit(r, int(target)))
			want -= y
		}
		if math.Abs(loss-want) > 1e-5*(1+math.Abs(want)) {
			d.Errorf("row %d of %d×%d, target %d: loss %v, want %v", r, m, c, target, loss, want)
		}
	}
	first = 0
	for _, x := range parts {
		d.do(tensor.CrossEntropyBackward{Logits: x, Stats: stats, Targets: targets, First: first, SoftCap: limit, Scale: 0.25})
		d.near("crossentropy.backward", x, table(m, x.Cols(), func(r, i int) float64 {
			if ts[r] < 0 {
				return 0
			}
			y, slope := capped(logit(r, first+i))
			p := math.Exp(y) / sums[r]
			if int(ts[r]) == first+i {
				p--
			}
			return 0.25 * p * slope
		}))
		first += x.Cols()
	}
}

// geometry draws a kind of attention: a cache, a prefix, a window, documents, grouped heads, a soft cap.
func (d *drawn) geometry() (h tensor.Heads, segment *tensor.Tensor, segments []int32) {
	h = tensor.Heads{
		Batch: d.size("batch", 2), Queries: d.size("queries", 80), KVHeads: d.size("key heads", 3), Dim: d.size("dim", 24),
		First: rapid.IntRange(0, 20).Draw(d.T, "first"), Scale: 0.6,
	}
	h.Heads = h.KVHeads * d.size("group", 3)
	h.Keys = h.First + h.Queries + rapid.IntRange(0, 5).Draw(d.T, "unused")
	h.Prefix = rapid.IntRange(0, h.First).Draw(d.T, "prefix")
	if d.yes("windowed") {
		h.Window = d.size("window", 40)
	}
	if d.yes("capped") {
		h.SoftCap = 1.5
	}
	if h.Prefix == h.Keys || !d.yes("documents") {
		return h, nil, nil
	}
	segments = make([]int32, h.Batch*h.Keys)
	for i := range segments {
		segments[i] = int32(i % h.Keys * 3 / h.Keys)
		if d.IntN(9) == 0 {
			segments[i] = -1
		}
	}
	return h, d.made(tensor.FromInts(d.ctx, d.b, "segments", segments, len(segments))), segments
}

func attentionByDefinition(d *drawn) {
	h, segment, segments := d.geometry()
	wide, narrow := h.Heads*h.Dim, h.KVHeads*h.Dim
	q, qs := d.normal(h.Batch*h.Queries, wide)
	k, ks := d.normal(h.Batch*h.Keys, narrow)
	v, vs := d.normal(h.Batch*h.Keys, narrow)
	dz, dzs := d.normal(h.Batch*h.Queries, wide)
	z, stats, dq := d.room(h.Batch*h.Queries, wide), d.room(h.Batch*h.Queries*h.Heads, 2), d.room(h.Batch*h.Queries, wide)
	dk, dv := d.room(h.Batch*h.Keys, narrow), d.room(h.Batch*h.Keys, narrow)
	d.do(tensor.Attention{Z: z, Stats: stats, Q: q, K: k, V: v, Segment: segment, Heads: h},
		tensor.AttentionBackward{DQ: dq, DK: dk, DV: dv, DZ: dz, Z: z, Stats: stats, Q: q, K: k, V: v, Segment: segment, Heads: h})

	wantZ, wantDQ := make([]float64, len(qs)), make([]float64, len(qs))
	wantDK, wantDV := make([]float64, len(ks)), make([]float64, len(ks))
	for n := range h.Batch * h.Heads * h.Queries {
		b, head, i := n/(h.Heads*h.Queries), n/h.Queries%h.Heads, n%h.Queries
		at := (b*h.Queries+i)*wide + head*h.Dim
		key := func(j int) int { return (b*h.Keys+j)*narrow + head/(h.Heads/h.KVHeads)*h.Dim }
		p, slope, sum := make([]float64, h.Keys), make([]float64, h.Keys), 0.0
		for j := range p {
			if !sees(h, segments, b, i, j) {
				continue
			}
			s := float64(h.Scale) * total(h.Dim, func(e int) float64 { return qs[at+e] * ks[key(j)+e] })
			slope[j] = float64(h.Scale)
			if limit := float64(h.SoftCap); limit > 0 {
				s = limit * math.Tanh(s/limit)
				slope[j] *= 1 - s/limit*(s/limit)
			}
			p[j] = math.Exp(s)
			sum += p[j]
		}
		if sum == 0 {
			continue
		}
		dp, mean := make([]float64, h.Keys), 0.0
		for j := range p {
			p[j] /= sum
			dp[j] = total(h.Dim, func(e int) float64 { return dzs[at+e] * vs[key(j)+e] })
			mean += p[j] * dp[j]
		}
		for j := range p {
			g := p[j] * (dp[j] - mean) * slope[j]
			for e := range h.Dim {
				wantZ[at+e] += p[j] * vs[key(j)+e]
				wantDQ[at+e] += g * ks[key(j)+e]
				wantDK[key(j)+e] += g * qs[at+e]
				wantDV[key(j)+e] += p[j] * dzs[at+e]
			}
		}
	}
	name := fmt.Sprintf("attention %+v", h)
	for _, x := range []struct {
		t    *tensor.Tensor
		want []float64
	}{{z, wantZ}, {dq, wantDQ}, {dk, wantDK}, {dv, wantDV}} {
		d.beside(name, x.t, x.want, 3e-2) // inner products over a head, summed over heads
	}
}
