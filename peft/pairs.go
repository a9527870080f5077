package peft

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// LoRAPair is the LoRA of one module as data: W += Scale·B·A.
type LoRAPair struct {
	Module    string  // HF's name: "model.layers.3.self_attn.q_proj"
	A, B      Matrix  // [r, in], [out, r]; of the embeddings [r, V], [D, r]
	Magnitude *Matrix // [out] with DoRA, else nil
	Scale     float64
}

// Rank is r.
func (p LoRAPair) Rank() int { return p.A.Shape[0] }

// names are those of the two matrices.
func (p LoRAPair) names() (a, b string) {
	s := loraSite{module: module{name: p.Module}}
	if p.Module == embedModule {
		s.kind = embedding
	}
	return s.a(), s.b()
}

// Pairs takes a LoRA apart, sorted by module. The error wraps transformer.ErrUnsupported
// and names what isn't LoRA, or ErrFormat.
func (s *State) Pairs() ([]LoRAPair, error) {
	c, ok := s.Config.(LoRAConfig)
	if !ok {
		return nil, fmt.Errorf("%s is no LoRA: %w", s.Config.Name(), transformer.ErrUnsupported)
	}
	if len(c.Save) > 0 {
		return nil, fmt.Errorf("modules_to_save (%s): %w", strings.Join(c.Save, ", "), transformer.ErrUnsupported)
	}
	byModule := map[string]*LoRAPair{}
	for name, t := range withoutBase(s.Tensors) {
		name, what, ok := strings.Cut(strings.TrimPrefix(name, prefix), ".lora_")
		if !ok || len(t.Shape) > 2 {
			return nil, fmt.Errorf("tensor %q is no part of LoRA: %w", name, ErrFormat)
		}
		p := byModule[name]
		if p == nil {
			p = &LoRAPair{Module: name}
			byModule[name] = p
		}
		switch strings.TrimSuffix(what, ".weight") {
		case "A", "embedding_A":
			p.A = t
		case "B", "embedding_B":
			p.B = t
		case "magnitude_vector":
			p.Magnitude = &t
		default:
			return nil, fmt.Errorf("tensor %q is no part of LoRA: %w", name+".lora_"+what, ErrFormat)
		}
	}
	return c.scaled(byModule)
}

// scaled checks the pairs and fills in their scales.
func (c LoRAConfig) scaled(byModule map[string]*LoRAPair) ([]LoRAPair, error) {
	var all []LoRAPair
	for _, name := range sortedKeys(byModule) {
		p := byModule[name]
		if len(p.A.Shape) != 2 || len(p.B.Shape) != 2 || p.A.Shape[0] < 1 || p.A.Shape[0] != p.B.Shape[1] {
			return nil, fmt.Errorf("%s: lora_A %v and lora_B %v are no pair: %w", name, p.A.Shape, p.B.Shape, ErrFormat)
		}
		alpha, err := c.AlphaOf(name)
		if err != nil {
			return nil, err
		}
		p.Scale = c.scale(alpha, p.Rank())
		all = append(all, *p)
	}
	return all, nil
}

// scale is what a product of two matrices is multiplied by.
func (c LoRAConfig) scale(alpha float64, rank int) float64 {
	if c.RSLoRA {
		return alpha / math.Sqrt(float64(rank))
	}
	return alpha / float64(rank)
}

// FromPairs makes a LoRA of its parts. Ranks and scales that differ become patterns. The
// error wraps ErrFormat.
func FromPairs(pairs []LoRAPair, dropout float64) (*State, error) {
	if len(pairs) == 0 {
		return nil, fmt.Errorf("no LoRA matrices: %w", ErrFormat)
	}
	c := LoRAConfig{Rank: pairs[0].Rank(), Dropout: dropout, DoRA: pairs[0].Magnitude != nil}
	c.Alpha = pairs[0].Scale * float64(c.Rank)
	s := &State{Tensors: map[string]Matrix{}}
	var names []string
	for _, p := range pairs {
		if (p.Magnitude != nil) != c.DoRA {
			return nil, fmt.Errorf("%s: only some modules have a magnitude: %w", p.Module, ErrFormat)
		}
		if p.Rank() != c.Rank {
			c.RankPattern = with(c.RankPattern, p.Module, p.Rank())
		}
		if alpha := p.Scale * float64(p.Rank()); alpha != c.Alpha {
			c.AlphaPattern = with(c.AlphaPattern, p.Module, alpha)
		}
		a, b := p.names()
		s.Tensors[a], s.Tensors[b] = p.A, p.B
		if p.Magnitude != nil {
			s.Tensors[prefix+p.Module+".lora_magnitude_vector"] = *p.Magnitude
		}
		names = append(names, p.Module)
	}
	c.Targets, c.Layers = narrow(names)
	s.Config = c
	return s, nil
}

// narrow names these modules and no others, whatever layers the model has besides.
func narrow(names []string) (Modules, []int) {
	var layers []int
	for _, n := range names {
		if l := layerOf(n); l >= 0 {
			layers = append(layers, l)
		}
	}
	if len(layers) > 0 && len(layers) < len(names) { // layers_to_transform would leave out what is in none
		return Named(names...), nil
	}
	slices.Sort(layers)
	return Named(ShortNames(names)...), slices.Compact(layers)
}

// with adds an exact module name to a map of patterns.
func with[T any](m map[string]T, module string, v T) map[string]T {
	if m == nil {
		m = map[string]T{}
	}
	m[strings.ReplaceAll(module, ".", `\.`)] = v
	return m
}

// ShortNames replaces the full names of modules by their last parts, sorted, if these
// name the same modules: each must be there in all layers from the first to the last
// that has any.
func ShortNames(modules []string) []string {
	byLast := map[string][]string{}
	layers := map[int]bool{}
	for _, m := range modules {
		last := m[strings.LastIndex(m, ".")+1:]
		byLast[last] = append(byLast[last], m)
		if l := layerOf(m); l >= 0 {
			layers[l] = true
		}
	}
	// Layers above or below without any would match a short name too.
	complete := true
	for l := range len(layers) {
		complete = complete && layers[l]
	}
	var names []string
	for last, list := range byLast {
		if !complete || layerOf(list[0]) >= 0 && len(list) != len(layers) {
			return modules
		}
		names = append(names, last)
	}
	slices.Sort(names)
	return names
}
