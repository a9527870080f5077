package peft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// LoRA is low-rank adaptation (Hu et al. 2021, arXiv 2106.09685): beside each
// target projection stands a product of two small matrices,
//
//	out += s · B·(A·x)        s = Alpha/r, or Alpha/√r with RSLoRA (arXiv 2312.03732)
//
// and backward, with u = A·x and du = s·Bᵀ·dout:
//
//	dB += s·dout·uᵀ    dA += du·xᵀ    dx += Aᵀ·du
type LoRA struct {
	model   *transformer.Model
	params  *Params
	options LoRAConfig
	sites   map[loraSite]loraPair
}

// LoRAConfig describes new LoRA matrices.
type LoRAConfig struct {
	Rank    int                // r, 0 means 8
	Alpha   float64            // 0 means 2·Rank
	RSLoRA  bool               // scale by Alpha/√r
	Targets []transformer.Proj // nil means q_proj and v_proj, PEFT's default
	Seed    uint64
}

// AllLinear are the targets that PEFT calls all-linear.
func AllLinear() []transformer.Proj {
	all := make([]transformer.Proj, transformer.NumProj)
	for i := range all {
		all[i] = transformer.Proj(i)
	}
	return all
}

// loraSite is a projection of a layer.
type loraSite struct {
	layer int
	proj  transformer.Proj
}

// loraPair is a site's pair of matrices.
type loraPair struct {
	a, b  Param // [r, in], [out, r]
	scale float32
	alpha float64
}

func (p loraPair) rank() int { return p.a.Shape[0] }

// loraInit is a site's matrices before they are allocated.
type loraInit struct {
	site  loraSite
	rank  int
	alpha float64
	a, b  []float32
}

// NewLoRA makes matrices that change nothing yet: A is uniform in ±1/√in, as
// PEFT's Kaiming initialisation gives, and B is zero.
func NewLoRA(ctx context.Context, m *transformer.Model, c LoRAConfig) (*LoRA, error) {
	if c.Rank == 0 {
		c.Rank = 8
	}
	if c.Alpha == 0 {
		c.Alpha = 2 * float64(c.Rank)
	}
	if c.Targets == nil {
		c.Targets = []transformer.Proj{transformer.QProj, transformer.VProj}
	}
	slices.Sort(c.Targets)
	c.Targets = slices.Compact(c.Targets)
	if c.Rank < 0 || c.Rank > m.Config.Hidden || !(c.Alpha > 0) || len(c.Targets) == 0 || c.Targets[len(c.Targets)-1] >= transformer.NumProj {
		return nil, fmt.Errorf("rank %d, alpha %v, targets %v: %w", c.Rank, c.Alpha, c.Targets, ErrConfig)
	}
	rng := rand.New(rand.NewPCG(c.Seed, 2))
	var inits []loraInit
	for l := range m.Config.Layers {
		for _, proj := range c.Targets {
			out, in := proj.Size(m.Config)
			i := loraInit{loraSite{l, proj}, c.Rank, c.Alpha, make([]float32, c.Rank*in), make([]float32, out*c.Rank)}
			bound := 1 / math.Sqrt(float64(in))
			for j := range i.a {
				i.a[j] = float32((2*rng.Float64() - 1) * bound)
			}
			inits = append(inits, i)
		}
	}
	return loraFrom(ctx, m, c, inits)
}

// loraFrom allocates matrices with given values.
func loraFrom(ctx context.Context, m *transformer.Model, c LoRAConfig, inits []loraInit) (*LoRA, error) {
	var specs []spec
	for _, i := range inits {
		out, in := i.site.proj.Size(m.Config)
		module := i.site.proj.Module(i.site.layer)
		specs = append(specs, spec{module + ".lora_A.weight", []int{i.rank, in}, i.a}, spec{module + ".lora_B.weight", []int{out, i.rank}, i.b})
	}
	params, err := newParams(ctx, m.Backend(), specs)
	if err != nil {
		return nil, err
	}
	l := &LoRA{model: m, params: params, options: c, sites: map[loraSite]loraPair{}}
	for n, i := range inits {
		l.sites[i.site] = loraPair{a: params.List[2*n], b: params.List[2*n+1], scale: c.scale(i.rank, i.alpha), alpha: i.alpha}
	}
	return l, nil
}

func (c LoRAConfig) scale(rank int, alpha float64) float32 {
	if c.RSLoRA {
		return float32(alpha / math.Sqrt(float64(rank)))
	}
	return float32(alpha / float64(rank))
}

// Params implements Method.
func (l *LoRA) Params() *Params { return l.params }

// Model implements Method.
func (l *LoRA) Model() *transformer.Model { return l.model }

// Close implements Method.
func (l *LoRA) Close() error { return l.params.Close() }

// Attach implements transformer.Adapter. For each token, a run keeps r values at
// each site if it trains, or shares them among all sites.
func (l *LoRA) Attach(r *transformer.Run) (*transformer.Attachment, error) {
	at := &loraAttachment{backend: l.model.Backend(), capacity: r.Capacity(), byRank: map[int]*tensor.Tensor{}}
	linears := map[loraSite]transformer.LinearAdapter{}
	for site, pair := range l.sites {
		lin := &loraLinear{loraPair: pair}
		if r.Trains() {
			lin.u, lin.du = at.new(pair.rank()), at.shared(pair.rank())
		} else {
			lin.u = at.shared(pair.rank())
		}
		linears[site] = lin
	}
	if at.err != nil {
		return nil, errors.Join(at.err, at.close())
	}
	return &transformer.Attachment{
		Linear: func(layer int, p transformer.Proj) transformer.LinearAdapter {
			if lin, ok := linears[loraSite{layer, p}]; ok {
				return lin
			}
			return nil
		},
		Close: at.close,
	}, nil
}

func (l *LoRA) fileName(q Param) string { return "base_model.model." + q.Name }

// loraAttachment owns the buffers of one run.
type loraAttachment struct {
	backend  tensor.Backend
	capacity int
	byRank   map[int]*tensor.Tensor // shared scratch
	tensors  []*tensor.Tensor
	err      error
}

func (at *loraAttachment) new(rank int) *tensor.Tensor {
	if at.err != nil {
		return nil
	}
	t, err := at.backend.New("lora.hidden", tensor.F32, at.capacity, rank)
	if err != nil {
		at.err = err
		return nil
	}
	at.tensors = append(at.tensors, t)
	return t
}

func (at *loraAttachment) shared(rank int) *tensor.Tensor {
	if at.byRank[rank] == nil {
		at.byRank[rank] = at.new(rank)
	}
	return at.byRank[rank]
}

func (at *loraAttachment) close() error {
	var err error
	for _, t := range at.tensors {
		err = errors.Join(err, t.Close())
	}
	return err
}

// loraLinear is a site's part in one run.
type loraLinear struct {
	loraPair
	u, du *tensor.Tensor // [capacity, r]; du only where there is training
}

// Forward implements transformer.LinearAdapter.
func (l *loraLinear) Forward(p *tensor.Pass, out, x *tensor.Tensor) {
	u := rows(p, l.u, x.Rows())
	p.Do(tensor.MatMul{Out: u, X: x, W: l.a.Value},
		tensor.MatMul{Out: out, X: u, W: l.b.Value, Scale: l.scale, Add: true})
}

// Backward implements transformer.LinearAdapter.
func (l *loraLinear) Backward(p *tensor.Pass, dx, dout, x *tensor.Tensor) {
	u, du := rows(p, l.u, x.Rows()), rows(p, l.du, x.Rows())
	p.Do(tensor.MatMulDW{DW: l.b.Grad, DOut: dout, X: u, Scale: l.scale, Add: true},
		tensor.MatMulDX{DX: du, DOut: dout, W: l.b.Value, Scale: l.scale},
		tensor.MatMulDW{DW: l.a.Grad, DOut: du, X: x, Add: true})
	if dx != nil {
		p.Do(tensor.MatMulDX{DX: dx, DOut: du, W: l.a.Value, Add: true})
	}
}

// rows returns the leading rows of a buffer.
func rows(p *tensor.Pass, t *tensor.Tensor, n int) *tensor.Tensor {
	v, err := t.Slice(0, n)
	if err != nil {
		p.Fail(err)
	}
	return v
}
