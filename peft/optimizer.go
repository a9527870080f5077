package peft

import (
	"context"
	"fmt"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
)

// Optimizer says how gradients change the parameters.
type Optimizer string

// The optimizers. What they compute is written down at the operations of package
// tensor that they are named after.
const (
	AdamW     Optimizer = "adamw"     // tensor.AdamW
	AdamW8bit Optimizer = "adamw8bit" // tensor.AdamW8: a quarter of AdamW's memory
	Adafactor Optimizer = "adafactor" // tensor.Adafactor: hardly any memory
	Lion      Optimizer = "lion"      // tensor.Lion: half of AdamW's memory; wants a lower learning rate and a higher weight decay
	SGD       Optimizer = "sgd"       // tensor.SGD, with momentum Beta1
)

// rules are the optimizers, in the order of the help.
var rules = []struct {
	name Optimizer
	make func(ctx context.Context, s *scratch, p *Params, c TrainConfig) rule
	// beta2 is the default of TrainConfig.Beta2.
	beta2 float64
}{
	{AdamW, adamWRule, 0.999},
	{AdamW8bit, adamW8Rule, 0.999},
	{Adafactor, adafactorRule, 0.999},
	{Lion, lionRule, 0.99},
	{SGD, sgdRule, 0.999},
}

// rule records step t, from 1, at a learning rate. clip is that of tensor.ClipNorm.
type rule func(pass *tensor.Pass, clip *tensor.Tensor, t int, lr float64)

// Optimizers returns the names of all optimizers.
func Optimizers() []Optimizer {
	var names []Optimizer
	for _, r := range rules {
		names = append(names, r.name)
	}
	return names
}

// index returns the place of an optimizer in rules. The error wraps ErrConfig.
func (o Optimizer) index() (int, error) {
	var known []string
	for i, r := range rules {
		if r.name == o || o == "" && r.name == AdamW {
			return i, nil
		}
		known = append(known, string(r.name))
	}
	return 0, fmt.Errorf("optimizer %q (known: %s): %w", o, strings.Join(known, ", "), ErrConfig)
}

// like makes a tensor of a group's size.
func (s *scratch) like(name string, group int, g Group) *tensor.Tensor {
	return s.new(fmt.Sprintf("%s.%d", name, group), g.Value.Len())
}

func adamWRule(_ context.Context, s *scratch, p *Params, c TrainConfig) rule {
	type moments struct{ m, v *tensor.Tensor }
	all := make([]moments, len(p.Groups))
	for i, g := range p.Groups {
		all[i] = moments{s.like("m", i, g), s.like("v", i, g)}
	}
	return func(pass *tensor.Pass, clip *tensor.Tensor, t int, lr float64) {
		for i, g := range p.Groups {
			pass.Do(tensor.AdamW{
				Param: g.Value, M: all[i].m, V: all[i].v, Grad: g.Grad, Clip: clip, LR: float32(lr * g.LR),
				Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Eps), WeightDecay: float32(c.WeightDecay), Step: t,
			})
		}
	}
}

// adamW8Rule stores moments by the blocks of a group. As each parameter begins one, they
// are the blocks of the parameters.
func adamW8Rule(ctx context.Context, s *scratch, p *Params, c TrainConfig) rule {
	maps := s.filled(ctx, "maps", append(tensor.DynamicMap(true), tensor.DynamicMap(false)...))
	type moments struct{ m, v, mMax, vMax *tensor.Tensor }
	all := make([]moments, len(p.Groups))
	for i, g := range p.Groups {
		blocks := tensor.MomentBlocks(g.Value.Len())
		name := func(what string) string { return fmt.Sprintf("%s.%d", what, i) }
		all[i] = moments{
			s.typed(name("m"), tensor.I32, blocks*tensor.MomentBlock/4), s.typed(name("v"), tensor.I32, blocks*tensor.MomentBlock/4),
			s.new(name("m_max"), blocks), s.new(name("v_max"), blocks),
		}
	}
	return func(pass *tensor.Pass, clip *tensor.Tensor, t int, lr float64) {
		for i, g := range p.Groups {
			m := all[i]
			pass.Do(tensor.AdamW8{
				Param: g.Value, M: m.m, V: m.v, MMax: m.mMax, VMax: m.vMax, Grad: g.Grad, Clip: clip, Maps: maps,
				LR: float32(lr * g.LR), Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Eps: float32(c.Eps),
				WeightDecay: float32(c.WeightDecay), Step: t,
			})
		}
	}
}

// adafactorRule treats each parameter by itself: the last two dimensions are a matrix,
// those before count matrices, and a vector is a matrix of one row.
func adafactorRule(_ context.Context, s *scratch, p *Params, c TrainConfig) rule {
	type factors struct {
		row, col *tensor.Tensor
		matrices int
		lr       float64
	}
	all := make([]factors, len(p.List))
	for i, q := range p.List {
		matrices, rows, cols := 1, 1, q.Shape[len(q.Shape)-1]
		for j, d := range q.Shape[:len(q.Shape)-1] {
			if j == len(q.Shape)-2 {
				rows = d
			} else {
				matrices *= d
			}
		}
		all[i] = factors{s.new("row."+q.Name, matrices*rows), s.new("col."+q.Name, matrices*cols), matrices, q.lr}
	}
	return func(pass *tensor.Pass, clip *tensor.Tensor, t int, lr float64) {
		for i, q := range p.List {
			f := all[i]
			pass.Do(tensor.Adafactor{
				Param: q.Value, Row: f.row, Col: f.col, Grad: q.Grad, Clip: clip, Matrices: f.matrices,
				LR: float32(lr * f.lr), WeightDecay: float32(c.WeightDecay), Step: t,
			})
		}
	}
}

func lionRule(_ context.Context, s *scratch, p *Params, c TrainConfig) rule {
	m := momenta(s, p)
	return func(pass *tensor.Pass, clip *tensor.Tensor, _ int, lr float64) {
		for i, g := range p.Groups {
			pass.Do(tensor.Lion{
				Param: g.Value, M: m[i], Grad: g.Grad, Clip: clip, LR: float32(lr * g.LR),
				Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), WeightDecay: float32(c.WeightDecay),
			})
		}
	}
}

func sgdRule(_ context.Context, s *scratch, p *Params, c TrainConfig) rule {
	m := momenta(s, p)
	return func(pass *tensor.Pass, clip *tensor.Tensor, _ int, lr float64) {
		for i, g := range p.Groups {
			pass.Do(tensor.SGD{
				Param: g.Value, M: m[i], Grad: g.Grad, Clip: clip, LR: float32(lr * g.LR),
				Momentum: float32(c.Beta1), WeightDecay: float32(c.WeightDecay),
			})
		}
	}
}

// momenta are one average of the gradient for each group.
func momenta(s *scratch, p *Params) []*tensor.Tensor {
	var all []*tensor.Tensor
	for i, g := range p.Groups {
		all = append(all, s.like("m", i, g))
	}
	return all
}
