package formats

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/peft"
)

// LoRA in other formats than PEFT's is a list of pairs, each with a scale.

// pair is LoRA of one module.
type pair struct {
	module    string
	a, b      peft.Matrix // [r, in], [out, r]; of the embeddings [r, V], [D, r]
	magnitude *peft.Matrix
	scale     float64
}

func (p pair) rank() int { return p.a.Shape[0] }

const embedModule = "model.embed_tokens"

// names are PEFT's of the two matrices.
func (p pair) names() (a, b string) {
	if p.module == embedModule {
		return prefix + p.module + ".lora_embedding_A", prefix + p.module + ".lora_embedding_B"
	}
	return prefix + p.module + ".lora_A.weight", prefix + p.module + ".lora_B.weight"
}

// pairsOf takes a state's LoRA apart, sorted by module. The error names what isn't
// LoRA.
func pairsOf(f Format, s *peft.State) ([]pair, error) {
	c, ok := s.Config.(peft.LoRAConfig)
	if !ok {
		return nil, unsupported(f, "%s", s.Config.Name())
	}
	if len(c.Save) > 0 {
		return nil, unsupported(f, "modules_to_save (%s)", strings.Join(c.Save, ", "))
	}
	byModule := map[string]*pair{}
	for name, t := range s.Tensors {
		module, what, ok := moduleOf(strings.TrimPrefix(name, prefix), ".lora_")
		if !ok || len(t.Shape) > 2 {
			return nil, malformed("tensor %q is no part of LoRA", name)
		}
		if what == "" || strings.HasSuffix(name, "base_layer.weight") {
			continue
		}
		p := byModule[module]
		if p == nil {
			p = &pair{module: module}
			byModule[module] = p
		}
		switch strings.TrimSuffix(what, ".weight") {
		case "A", "embedding_A":
			p.a = t
		case "B", "embedding_B":
			p.b = t
		case "magnitude_vector":
			p.magnitude = &t
		default:
			return nil, malformed("tensor %q is no part of LoRA", name)
		}
	}
	return scaled(c, byModule)
}

// scaled checks the pairs and computes their scales.
func scaled(c peft.LoRAConfig, byModule map[string]*pair) ([]pair, error) {
	var all []pair
	for _, module := range sorted(byModule) {
		p := byModule[module]
		if len(p.a.Shape) != 2 || len(p.b.Shape) != 2 || p.a.Shape[0] != p.b.Shape[1] {
			return nil, malformed("%s: lora_A %v and lora_B %v are no pair", module, p.a.Shape, p.b.Shape)
		}
		alpha, err := c.AlphaOf(module)
		if err != nil {
			return nil, err
		}
		p.scale = alpha / float64(p.rank())
		if c.RSLoRA {
			p.scale = alpha / math.Sqrt(float64(p.rank()))
		}
		all = append(all, *p)
	}
	return all, nil
}

// stateOf makes a state from pairs.
func stateOf(pairs []pair, dropout float64) (*peft.State, error) {
	if len(pairs) == 0 {
		return nil, malformed("no LoRA matrices")
	}
	c := peft.LoRAConfig{Rank: pairs[0].rank(), Dropout: dropout, DoRA: pairs[0].magnitude != nil}
	c.Alpha = pairs[0].scale * float64(c.Rank)
	s := &peft.State{Tensors: map[string]peft.Matrix{}}
	var modules []string
	for _, p := range pairs {
		if (p.magnitude != nil) != c.DoRA {
			return nil, malformed("%s: only some modules have a magnitude", p.module)
		}
		if p.rank() != c.Rank {
			c.RankPattern = with(c.RankPattern, p.module, p.rank())
		}
		if alpha := p.scale * float64(p.rank()); alpha != c.Alpha {
			c.AlphaPattern = with(c.AlphaPattern, p.module, alpha)
		}
		a, b := p.names()
		s.Tensors[a], s.Tensors[b] = p.a, p.b
		if p.magnitude != nil {
			s.Tensors[prefix+p.module+".lora_magnitude_vector"] = *p.magnitude
		}
		modules = append(modules, p.module)
	}
	c.Targets = peft.Named(shortNames(modules)...)
	s.Config = c
	return s, nil
}

// with adds an exact module name to a map of patterns.
func with[T any](m map[string]T, module string, v T) map[string]T {
	if m == nil {
		m = map[string]T{}
	}
	m[strings.ReplaceAll(module, ".", `\.`)] = v
	return m
}

// shortNames replaces full names by their last parts, if each is there in all layers
// that have any.
func shortNames(modules []string) []string {
	byLast := map[string][]string{}
	layers := map[string]bool{}
	for _, m := range modules {
		last := m[strings.LastIndex(m, ".")+1:]
		byLast[last] = append(byLast[last], m)
		if l, ok := layerOf(m); ok {
			layers[l] = true
		}
	}
	// Layers above or below without any would match a short name too.
	complete := true
	for l := range len(layers) {
		complete = complete && layers[fmt.Sprint(l)]
	}
	var names []string
	for last, list := range byLast {
		_, inLayer := layerOf(list[0])
		if !complete || inLayer && len(list) != len(layers) {
			return modules
		}
		names = append(names, last)
	}
	slices.Sort(names)
	return names
}

// layerOf returns the number in "model.layers.3.mlp.up_proj".
func layerOf(module string) (string, bool) {
	rest, ok := strings.CutPrefix(module, "model.layers.")
	if !ok {
		return "", false
	}
	number, _, ok := strings.Cut(rest, ".")
	return number, ok
}

// transposed exchanges a matrix's rows and columns.
func transposed(m peft.Matrix) peft.Matrix {
	rows, cols := m.Shape[0], m.Shape[1]
	t := peft.Matrix{Shape: []int{cols, rows}, Values: make([]float32, len(m.Values))}
	for r := range rows {
		for c := range cols {
			t.Values[c*rows+r] = m.Values[r*cols+c]
		}
	}
	return t
}

// matrix checks that a tensor has two dimensions.
func matrix(name string, m peft.Matrix) (peft.Matrix, error) {
	if len(m.Shape) != 2 {
		return m, malformed("tensor %q: shape %v, want two dimensions", name, m.Shape)
	}
	return m, nil
}

func sorted[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
