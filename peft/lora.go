package peft

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// LoRAConfig is low-rank adaptation (Hu et al. 2021, arXiv 2106.09685): beside each
// target stands a product of two small matrices,
//
//	out += s · B·(A·x)        s = Alpha/r, or Alpha/√r with RSLoRA (arXiv 2312.03732)
//
// and backward, with u = A·x and du = s·Bᵀ·dout:
//
//	dB += s·dout·uᵀ    dA += du·xᵀ    dx += Aᵀ·du
//
// At the start A is uniform in ±1/√in, as PEFT's Kaiming initialisation gives, and B
// is zero, so that nothing changes yet. With Dropout, x is dropped out for A only.
//
// For the embeddings, A·x is a column of A, and the product is scaled as the
// embeddings are. With DoRA, see dora.go.
type LoRAConfig struct {
	Rank    int     `json:"r"`            // 0 means 8
	Alpha   float64 `json:"lora_alpha"`   // 0 means 2·Rank
	Dropout float64 `json:"lora_dropout"` // the share of inputs that is dropped in training

	RSLoRA bool `json:"use_rslora,omitempty"` // scale by Alpha/√r
	DoRA   bool `json:"use_dora,omitempty"`   // weight-decomposed, arXiv 2402.09353

	Targets      Modules            `json:"target_modules"` // projections, embed_tokens, lm_head; none means q_proj and v_proj
	Exclude      Modules            `json:"exclude_modules,omitzero"`
	Layers       []int              `json:"layers_to_transform,omitempty"` // nil means all
	RankPattern  map[string]int     `json:"rank_pattern,omitempty"`        // ranks of some targets, by a regular expression for the end of the name
	AlphaPattern map[string]float64 `json:"alpha_pattern,omitempty"`       // likewise
	// Save are modules that are trained as a whole and saved: "lm_head", "embed_tokens"
	// or norms.
	Save []string `json:"modules_to_save,omitempty"`

	Seed uint64 `json:"-"`
	// PlusRatio, if not 0, is what the learning rate of the Bs is multiplied by (LoRA+,
	// arXiv 2402.12354).
	PlusRatio float64 `json:"-"`
}

// Name implements Config.
func (c LoRAConfig) Name() string {
	if c.DoRA {
		return "dora"
	}
	return "lora"
}

// complete checks what a file must say.
func (c LoRAConfig) complete() error {
	if c.Rank < 1 || !(c.Alpha > 0) {
		return fmt.Errorf("r is %d, lora_alpha is %v", c.Rank, c.Alpha)
	}
	return nil
}

// withDefaults fills in and checks the settings.
func (c LoRAConfig) withDefaults(m *transformer.Model) (LoRAConfig, error) {
	if c.Rank == 0 {
		c.Rank = 8
	}
	if c.Alpha == 0 {
		c.Alpha = 2 * float64(c.Rank)
	}
	if c.Targets.IsZero() {
		c.Targets = Named("q_proj", "v_proj")
	}
	c.Targets = c.Targets.present(m.Config)
	switch {
	case c.Rank < 0 || c.Rank > m.Config.Hidden || !(c.Alpha > 0):
		return c, fmt.Errorf("rank %d, alpha %v for a model of width %d: %w", c.Rank, c.Alpha, m.Config.Hidden, ErrConfig)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return c, fmt.Errorf("lora dropout %v, want 0 ≤ P < 1: %w", c.Dropout, ErrConfig)
	case !(c.PlusRatio >= 0):
		return c, fmt.Errorf("LoRA+ ratio %v: %w", c.PlusRatio, ErrConfig)
	}
	return c, nil
}

// loraSite is a target.
type loraSite struct {
	module
	number int // for dropout's seed
	rank   int
	alpha  float64
	scale  float32
}

// prefix is what PEFT puts in front of names of the model.
const prefix = "base_model.model."

func (s loraSite) a() string {
	if s.kind == embedding {
		return prefix + s.name + ".lora_embedding_A"
	}
	return prefix + s.name + ".lora_A.weight"
}

func (s loraSite) b() string {
	if s.kind == embedding {
		return prefix + s.name + ".lora_embedding_B"
	}
	return prefix + s.name + ".lora_B.weight"
}

// sites returns the targets with their ranks and scales.
func (c LoRAConfig) sites(m *transformer.Model) ([]loraSite, error) {
	found, err := selection{c.Targets, c.Exclude, c.Layers, []moduleKind{projection, embedding, unembedding}}.of(m.Config)
	if err != nil {
		return nil, err
	}
	var sites []loraSite
	for i, x := range found {
		s := loraSite{module: x, number: i}
		if s.rank, err = byPattern(c.RankPattern, x.name, c.Rank); err != nil {
			return nil, err
		}
		if s.alpha, err = byPattern(c.AlphaPattern, x.name, c.Alpha); err != nil {
			return nil, err
		}
		if s.rank < 1 || !(s.alpha > 0) {
			return nil, fmt.Errorf("%s: rank %d, alpha %v: %w", x.name, s.rank, s.alpha, ErrConfig)
		}
		if c.DoRA && x.kind == embedding {
			return nil, fmt.Errorf("DoRA of %s: %w", x.name, transformer.ErrUnsupported)
		}
		s.scale = float32(c.scale(s.alpha, s.rank))
		sites = append(sites, s)
	}
	return sites, nil
}

// AlphaOf returns the alpha of a module, by its full name.
func (c LoRAConfig) AlphaOf(module string) (float64, error) {
	return byPattern(c.AlphaPattern, module, c.Alpha)
}

func (c LoRAConfig) design(m *transformer.Model) (*design, error) {
	c, err := c.withDefaults(m)
	if err != nil {
		return nil, err
	}
	sites, err := c.sites(m)
	if err != nil {
		return nil, err
	}
	saved, err := savedModules(m, c.Save, prefix)
	if err != nil {
		return nil, err
	}
	d := &design{config: c, scalable: !c.DoRA && len(saved.names) == 0}
	rng := rand.New(rand.NewPCG(c.Seed, 2))
	for _, s := range sites {
		d.specs = append(d.specs, s.specs(c, rng)...)
		if c.DoRA {
			d.specs = append(d.specs, s.magnitude(m))
		}
	}
	d.specs = append(d.specs, saved.specs...)
	d.attach = func(m *method, s *scratch) *transformer.Attachment { return attachLoRA(m, s, c, sites, saved) }
	d.pack = func(_ context.Context, _ *method, t tensors) (tensors, error) { return transposed(t, sites), nil }
	d.unpack = func(t tensors) (tensors, error) { return transposed(withoutBase(t), sites), nil }
	d.updates = func(ctx context.Context, m *method) (map[string]update, error) {
		return loraUpdates(ctx, m, c, sites, saved)
	}
	if c.DoRA {
		d.fixed = func(ctx context.Context, m *method) error { return doraConstants(ctx, m, sites) }
	}
	return d, nil
}

// specs are a site's two matrices. An embedding's A is stored as the table [in, r].
func (s loraSite) specs(c LoRAConfig, rng *rand.Rand) []spec {
	plus := spec{name: s.b(), shape: []int{s.out, s.rank}, lr: c.PlusRatio}
	if s.kind == embedding { // N(0, 1) in B's place, and zeros in A's: a lookup has no fan-in
		plus.shape = []int{s.in, s.rank}
		plus.init = normal(rng, 1)
		return []spec{{name: s.a(), shape: []int{s.out, s.rank}}, plus}
	}
	bound := 1 / math.Sqrt(float64(s.in))
	return []spec{{name: s.a(), shape: []int{s.rank, s.in}, init: uniform(rng, bound)}, plus}
}

// uniform and normal are starting values: between ±bound, or with a standard deviation.
func uniform(rng *rand.Rand, bound float64) starting {
	return func(_ context.Context, dst []float32) error {
		for i := range dst {
			dst[i] = float32((2*rng.Float64() - 1) * bound)
		}
		return nil
	}
}

func normal(rng *rand.Rand, std float64) starting {
	return func(_ context.Context, dst []float32) error {
		for i := range dst {
			dst[i] = float32(rng.NormFloat64() * std)
		}
		return nil
	}
}

// transposed exchanges [r, V] of a file and [V, r] of a table.
func transposed(t tensors, sites []loraSite) tensors {
	out := tensors{}
	for name, x := range t {
		out[name] = x
	}
	for _, s := range sites {
		x, ok := t[s.a()]
		if !ok || s.kind != embedding || len(x.Shape) != 2 {
			continue
		}
		rows, cols := x.Shape[0], x.Shape[1]
		y := Matrix{[]int{cols, rows}, make([]float32, len(x.Values))}
		for r := range rows {
			for c := range cols {
				y.Values[c*rows+r] = x.Values[r*cols+c]
			}
		}
		out[s.a()] = y
	}
	return out
}

// withoutBase drops the copies of the model's own embeddings that PEFT puts into a
// file when they are a target.
func withoutBase(t tensors) tensors {
	out := tensors{}
	for name, x := range t {
		if name != prefix+embedModule+".base_layer.weight" && name != prefix+unembedModule+".base_layer.weight" {
			out[name] = x
		}
	}
	return out
}

// loraUpdates: row r of a matrix gets s·Σ_j B[r,j]·A[j], and with DoRA is then brought
// to its magnitude.
func loraUpdates(ctx context.Context, m *method, c LoRAConfig, sites []loraSite, saved savedWeights) (map[string]update, error) {
	all, err := saved.updates(ctx, m)
	if err != nil {
		return nil, err
	}
	b := m.model.Backend()
	for _, s := range sites {
		down, err := tensor.Floats(ctx, b, m.param(s.a()).Value)
		if err != nil {
			return nil, err
		}
		up, err := tensor.Floats(ctx, b, m.param(s.b()).Value)
		if err != nil {
			return nil, err
		}
		if s.kind == embedding { // row v of the embeddings gets s·B·A[:,v]
			down, up = transposedValues(up, s.in, s.rank), down
		}
		var magnitude []float32
		if c.DoRA {
			if magnitude, err = tensor.Floats(ctx, b, m.param(s.m()).Value); err != nil {
				return nil, err
			}
		}
		all[s.name+".weight"] = s.update(down, up, magnitude)
	}
	return all, nil
}

// transposedValues turns [rows, cols] into [cols, rows].
func transposedValues(v []float32, rows, cols int) []float32 {
	out := make([]float32, len(v))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = v[r*cols+c]
		}
	}
	return out
}

// update is what happens to a row of the weight; a is [r, in], b [out, r].
func (s loraSite) update(a, b, magnitude []float32) update {
	return func(r int, row []float32) {
		delta := make([]float32, s.in)
		for j := range s.rank {
			f := b[r*s.rank+j]
			for i, v := range a[j*s.in : (j+1)*s.in] {
				delta[i] += f * v
			}
		}
		for i, v := range delta {
			row[i] += s.scale * v
		}
		if magnitude != nil {
			f := float32(float64(magnitude[r]) / length(row))
			for i := range row {
				row[i] *= f
			}
		}
	}
}

// length is the Euclidean norm.
func length(row []float32) float64 {
	sum := 0.0
	for _, v := range row {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}
