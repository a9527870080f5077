package peft

import (
	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// attachLoRA plugs LoRA into a run. For each token, a run that trains keeps r values at
// each target; others share them.
func attachLoRA(m *method, s *scratch, c LoRAConfig, sites []loraSite, saved savedWeights) *transformer.Attachment {
	if m.factor == 0 { // which operations take for 1
		return &transformer.Attachment{}
	}
	at := &transformer.Attachment{Weight: saved.attach(m)}
	parts := map[string]loraPart{}
	var dora []*doraScale
	for _, x := range sites {
		part := newLoRAPart(m, s, c, x)
		if c.DoRA {
			part.dora = newDoRAScale(m, s, x)
			dora = append(dora, part.dora)
		}
		switch x.kind {
		case embedding:
			at.Embed = &loraEmbed{loraPart: part, scale: m.model.Config.EmbedScale}
		case unembedding:
			at.Unembed = part.unembed
		}
		parts[x.name] = part
	}
	at.Linear = func(layer int, p transformer.Proj, base transformer.Linear) transformer.Linear {
		if part, ok := parts[p.Module(layer)]; ok {
			return part.linear(base)
		}
		return base
	}
	if c.DoRA {
		at.Begin = func(p *tensor.Pass) {
			for _, g := range dora {
				g.begin(p)
			}
		}
	}
	return at
}

// loraPart is a target in one run.
type loraPart struct {
	a, b    Param
	factor  float32 // s
	dropout float32
	site    uint64
	run     *transformer.Run
	u, du   *tensor.Tensor // [capacity, r]
	dropped *tensor.Tensor // [capacity, in], the input after dropout; nil without
	dora    *doraScale     // nil without
}

func newLoRAPart(m *method, s *scratch, c LoRAConfig, x loraSite) loraPart {
	n := s.run.Capacity()
	l := loraPart{a: m.param(x.a()), b: m.param(x.b()), factor: m.factor * x.scale, dropout: float32(c.Dropout), site: uint64(x.number + 1), run: s.run}
	if !s.run.Trains() {
		l.u = s.shared("lora.u", n*x.rank)
		return l
	}
	l.u, l.du = s.new("lora.u", n*x.rank), s.shared("lora.du", n*x.rank)
	if c.Dropout > 0 && x.kind != embedding {
		l.dropped = s.shared("lora.dropped", n*x.in)
	}
	return l
}

// drop is the dropout of x in this batch, or x.
func (l *loraPart) drop(p *tensor.Pass, x *tensor.Tensor) *tensor.Tensor {
	if l.dropped == nil || l.run.DropoutSeed() == 0 {
		return x
	}
	y := shaped(p, l.dropped, x.Shape...)
	p.Do(tensor.Dropout{Out: y, X: x, P: l.dropout, Seed: l.seed()})
	return y
}

// seed is the batch's, different for each target.
func (l *loraPart) seed() uint64 { return l.run.DropoutSeed() * 0x9e3779b97f4a7c15 * (2*l.site + 1) }

// loraLinear is a projection with its pair of matrices.
type loraLinear struct {
	loraPart
	base transformer.Linear
}

// Forward implements transformer.Linear.
func (l *loraLinear) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	l.base.Forward(p, out, x)
	u := shaped(p, l.u, x.Rows(), l.a.Value.Rows())
	p.Do(tensor.MatMul{Out: u, X: l.drop(p, x), W: l.a.Value},
		tensor.MatMul{Out: out, X: u, W: l.b.Value, Scale: l.factor, Add: true})
}

// Backward implements transformer.Linear.
func (l *loraLinear) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor, add bool) {
	l.base.Backward(p, dx, dout, x, add)
	u, du := shaped(p, l.u, x.Rows(), l.a.Value.Rows()), shaped(p, l.du, x.Rows(), l.a.Value.Rows())
	p.Do(tensor.MatMulDW{DW: l.b.Grad, DOut: dout, X: u, Scale: l.factor, Add: true},
		tensor.MatMulDX{DX: du, DOut: dout, W: l.b.Value, Scale: l.factor})
	dropped := l.drop(p, x)
	p.Do(tensor.MatMulDW{DW: l.a.Grad, DOut: du, X: dropped, Add: true})
	switch {
	case dx == nil:
	case dropped == x:
		p.Do(tensor.MatMulDX{DX: dx, DOut: du, W: l.a.Value, Add: true})
	default: // dropped's values aren't needed any more
		p.Do(tensor.MatMulDX{DX: dropped, DOut: du, W: l.a.Value},
			tensor.Dropout{Out: dx, X: dropped, P: l.dropout, Seed: l.seed(), Add: true})
	}
}

// linear wraps a projection.
func (l loraPart) linear(base transformer.Linear) transformer.Linear {
	inner := &loraLinear{loraPart: l, base: base}
	if l.dora != nil {
		return &doraLinear{doraScale: l.dora, inner: inner}
	}
	return inner
}

// unembed is linear for a part of the output matrix.
func (l loraPart) unembed(lo, hi int, base transformer.Linear) (transformer.Linear, error) {
	var err error
	if l.b, err = rowsOf(l.b, lo, hi); err == nil && l.dora != nil {
		l.dora, err = l.dora.rows(lo, hi)
	}
	return l.linear(base), err
}

// rowsOf returns rows [lo, hi) of a parameter.
func rowsOf(q Param, lo, hi int) (Param, error) {
	var err error
	if q.Value, err = q.Value.Slice(lo, hi); err == nil {
		q.Grad, err = q.Grad.Slice(lo, hi)
	}
	return q, err
}

// loraEmbed is LoRA of the embeddings: A is a table [V, r], B is [D, r].
type loraEmbed struct {
	loraPart
	scale float32 // of the embeddings
}

// Forward implements transformer.EmbedAdapter.
func (l *loraEmbed) Forward(p *tensor.Pass, x, ids *tensor.Tensor) {
	u := shaped(p, l.u, x.Rows(), l.b.Value.Cols())
	p.Do(tensor.Embed{Out: u, IDs: ids, Table: l.a.Value},
		tensor.MatMul{Out: x, X: u, W: l.b.Value, Scale: l.factor * l.scale, Add: true})
}

// Backward implements transformer.EmbedAdapter.
func (l *loraEmbed) Backward(p *tensor.Pass, dx, ids *tensor.Tensor) {
	r := l.b.Value.Cols()
	u, du := shaped(p, l.u, dx.Rows(), r), shaped(p, l.du, dx.Rows(), r)
	p.Do(tensor.MatMulDW{DW: l.b.Grad, DOut: dx, X: u, Scale: l.factor * l.scale, Add: true},
		tensor.MatMulDX{DX: du, DOut: dx, W: l.b.Value, Scale: l.factor * l.scale},
		tensor.EmbedBackward{DTable: l.a.Grad, DOut: du, IDs: ids, Add: true})
}
