package peft

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// Combination says how Combine makes one LoRA of several; the names and results are
// those of HF PEFT's add_weighted_adapter. With w the weight times the scale of a LoRA:
//
//	cat                A = [w₁·A₁; w₂·A₂; …], B = [B₁ B₂ …]: exactly Σ w·B·A, ranks add up
//	svd                the best approximation of Σ w·B·A of a rank
//	linear             A = Σ ±√|w|·A, B = Σ √|w|·B: not Σ w·B·A, but as small as one of them
//	magnitude_prune    linear, of the largest values of each matrix
//	ties               linear, of the largest values that have the sign of the majority,
//	                   divided by how many these are (Yadav et al. 2023, arXiv 2306.01708)
//	dare_linear        linear, of values drawn at random, divided by the share that is drawn
//	dare_ties          both (Yu et al. 2023, arXiv 2311.03099)
//
// With _svd added, the last four do this to the products w·B·A and then approximate
// the result. That makes and decomposes each product as a whole, which takes minutes for
// matrices of several thousand rows and columns.
type Combination struct {
	How       string
	Weights   []float64 // one for each LoRA; nil: 1
	Rank      int       // of an approximation; 0: the largest of all
	Density   float64   // the share of values that prune and draw keep; 0 means 1
	Frequency bool      // the majority counts signs, in place of adding values
	Seed      uint64    // of draws
}

// combining is a way to combine.
type combining struct {
	prune pruning
	elect bool // keep values of the majority's sign
}

// pruning keeps a share of the values, and sets the others to 0.
type pruning func(values []float32, density float64, rng *rand.Rand)

var combinings = map[string]combining{
	"linear":          {},
	"magnitude_prune": {prune: keepLargest},
	"ties":            {prune: keepLargest, elect: true},
	"dare_linear":     {prune: draw},
	"dare_ties":       {prune: draw, elect: true},
}

// Combinations lists the values of Combination.How.
func Combinations() []string {
	names := []string{"cat", "svd"}
	for _, name := range sortedKeys(combinings) {
		if names = append(names, name); name != "linear" {
			names = append(names, name+"_svd")
		}
	}
	return names
}

// Combine makes one LoRA of several for the same model. The error wraps ErrConfig,
// ErrMismatch, ErrFormat, or transformer.ErrUnsupported for what is no plain LoRA.
func Combine(ctx context.Context, loras []*State, c Combination) (*State, error) {
	if err := c.check(len(loras)); err != nil {
		return nil, err
	}
	byModule := map[string][]weighted{}
	for i, s := range loras {
		pairs, err := s.Pairs()
		if err != nil {
			return nil, fmt.Errorf("LoRA %d: %w", i+1, err)
		}
		for _, p := range pairs {
			if p.Magnitude != nil {
				return nil, fmt.Errorf("LoRA %d: DoRA can't be combined (merge it into the model): %w", i+1, transformer.ErrUnsupported)
			}
			all := byModule[p.Module]
			if len(all) > 0 && (p.A.Shape[1] != all[0].A.Shape[1] || p.B.Shape[0] != all[0].B.Shape[0]) {
				return nil, fmt.Errorf("%s: LoRA %d is for %d×%d, another for %d×%d: %w", p.Module, i+1,
					p.B.Shape[0], p.A.Shape[1], all[0].B.Shape[0], all[0].A.Shape[1], ErrMismatch)
			}
			byModule[p.Module] = append(all, weighted{p, c.Weights[i] * p.Scale})
		}
	}
	largest := 0
	for _, all := range byModule {
		for _, p := range all {
			largest = max(largest, p.Rank())
		}
	}
	if c.Rank == 0 {
		c.Rank = largest
	}
	var pairs []LoRAPair
	rng := rand.New(rand.NewPCG(c.Seed, 3))
	for _, name := range slices.Sorted(maps.Keys(byModule)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := c.combine(byModule[name], rng)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pairs = append(pairs, p)
	}
	s, err := FromPairs(pairs, 0)
	if err == nil {
		s.Base = loras[0].Base
	}
	return s, err
}

// check fills in the defaults.
func (c *Combination) check(n int) error {
	if c.Weights == nil {
		c.Weights = slices.Repeat([]float64{1}, n)
	}
	if c.Density == 0 {
		c.Density = 1
	}
	switch {
	case n == 0:
		return fmt.Errorf("nothing to combine: %w", ErrConfig)
	case !slices.Contains(Combinations(), c.How):
		return fmt.Errorf("combination %q (known: %s): %w", c.How, strings.Join(Combinations(), ", "), ErrConfig)
	case len(c.Weights) != n:
		return fmt.Errorf("%d weights for %d LoRAs: %w", len(c.Weights), n, ErrConfig)
	case !(c.Density > 0 && c.Density <= 1) || c.Rank < 0:
		return fmt.Errorf("density %v, rank %d: %w", c.Density, c.Rank, ErrConfig)
	}
	for _, w := range c.Weights {
		if math.IsNaN(w) || math.IsInf(w, 0) {
			return fmt.Errorf("weight %v: %w", w, ErrConfig)
		}
	}
	return nil
}

// weighted is a module's LoRA, to be taken w times.
type weighted struct {
	LoRAPair
	w float64
}

// combine makes one LoRA of a module's.
func (c Combination) combine(all []weighted, rng *rand.Rand) (LoRAPair, error) {
	name, products := strings.CutSuffix(c.How, "_svd")
	switch {
	case c.How == "cat":
		return concatenated(all), nil
	case c.How == "svd":
		return truncated(concatenated(all), c.Rank)
	case products:
		return c.ofProducts(combinings[name], all, rng)
	}
	for _, p := range all {
		if p.Rank() != all[0].Rank() {
			return LoRAPair{}, fmt.Errorf("ranks %d and %d: %s wants equal ones (cat and svd don't): %w", all[0].Rank(), p.Rank(), c.How, ErrConfig)
		}
	}
	how := combinings[name]
	var a, b [][]float32
	var wa, wb []float64
	for _, p := range all {
		root := math.Sqrt(math.Abs(p.w))
		a, wa = append(a, slices.Clone(p.A.Values)), append(wa, math.Copysign(root, p.w))
		b, wb = append(b, slices.Clone(p.B.Values)), append(wb, root)
	}
	return LoRAPair{
		Module: all[0].Module, Scale: 1,
		A: Matrix{all[0].A.Shape, how.sum(a, wa, c, rng)}, B: Matrix{all[0].B.Shape, how.sum(b, wb, c, rng)},
	}, nil
}

// concatenated has the sum of all products, exactly.
func concatenated(all []weighted) LoRAPair {
	rank, in, out := 0, all[0].A.Shape[1], all[0].B.Shape[0]
	for _, p := range all {
		rank += p.Rank()
	}
	c := LoRAPair{Module: all[0].Module, Scale: 1, A: Matrix{Shape: []int{rank, in}}, B: Matrix{[]int{out, rank}, make([]float32, out*rank)}}
	at := 0
	for _, p := range all {
		for _, v := range p.A.Values {
			c.A.Values = append(c.A.Values, float32(p.w)*v)
		}
		r := p.Rank()
		for o := range out {
			copy(c.B.Values[o*rank+at:], p.B.Values[o*r:(o+1)*r])
		}
		at += r
	}
	return c
}

// ofProducts combines the products of the matrices, and approximates the result.
func (c Combination) ofProducts(how combining, all []weighted, rng *rand.Rand) (LoRAPair, error) {
	var products [][]float32
	var weights []float64
	for _, p := range all {
		products, weights = append(products, product(p.LoRAPair)), append(weights, p.w/p.Scale)
	}
	out, in := all[0].B.Shape[0], all[0].A.Shape[1]
	return decomposed(all[0].Module, how.sum(products, weights, c, rng), out, in, c.Rank)
}

// sum adds tensors of the same shape, which it may change.
func (how combining) sum(tensors [][]float32, weights []float64, c Combination, rng *rand.Rand) []float32 {
	if how.prune != nil && c.Density < 1 {
		for _, t := range tensors {
			how.prune(t, c.Density, rng)
		}
	}
	out := make([]float32, len(tensors[0]))
	for i := range out {
		out[i] = float32(how.sumAt(tensors, weights, i, c.Frequency))
	}
	return out
}

// sumAt is one value of the sum.
func (how combining) sumAt(tensors [][]float32, weights []float64, i int, frequency bool) float64 {
	sum, majority := 0.0, 0.0
	for n, t := range tensors {
		v := float64(t[i])
		sum += weights[n] * v
		if frequency {
			v = sign(v)
		}
		majority += v
	}
	if !how.elect {
		return sum
	}
	elected := 1.0
	if majority < 0 {
		elected = -1
	}
	sum, count := 0.0, 0.0
	for n, t := range tensors {
		if v := float64(t[i]); sign(v) == elected {
			sum, count = sum+weights[n]*v, count+1
		}
	}
	return sum / max(count, 1)
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return 0
}

// keepLargest is a pruning by magnitude; of equal values the first stay.
func keepLargest(values []float32, density float64, _ *rand.Rand) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	size := func(i int) float64 { return math.Abs(float64(values[i])) }
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case size(i) > size(j):
			return -1
		case size(i) < size(j):
			return 1
		}
		return 0
	})
	for _, i := range order[int(density*float64(len(values))):] {
		values[i] = 0
	}
}

// draw is a pruning at random that keeps the expected values.
func draw(values []float32, density float64, rng *rand.Rand) {
	for i, v := range values {
		if values[i] = float32(float64(v) / density); rng.Float64() >= density {
			values[i] = 0
		}
	}
}
