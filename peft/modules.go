package peft

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gpupeft/gpupeft/transformer"
)

// Modules names parts of a model as PEFT's target_modules does: by whole names or their
// last parts ("q_proj", "layers.0.mlp.up_proj"), or by one regular expression for the
// whole name. In JSON it is a list or a string.
type Modules struct {
	Names   []string
	Pattern string
}

// Named returns modules by names.
func Named(names ...string) Modules { return Modules{Names: append([]string{}, names...)} }

// AllLinear stands for all projections of the layers.
const AllLinear = "all-linear"

// MarshalJSON writes PEFT's form: a string, or a sorted list. PEFT knows AllLinear as a
// string alone and stores the projections' names for it, as is done here.
func (m Modules) MarshalJSON() ([]byte, error) {
	switch {
	case m.Pattern != "":
		return json.Marshal(m.Pattern)
	case m.Names == nil:
		return []byte("null"), nil
	}
	names := slices.DeleteFunc(slices.Clone(m.Names), func(n string) bool { return n == AllLinear })
	if len(names) < len(m.Names) {
		for p := range transformer.NumProj {
			names = append(names, p.Module(0)[strings.LastIndex(p.Module(0), ".")+1:])
		}
	}
	slices.Sort(names)
	return json.Marshal(slices.Compact(names))
}

// UnmarshalJSON reads a list or a string.
func (m *Modules) UnmarshalJSON(text []byte) error {
	*m = Modules{}
	if len(text) > 0 && text[0] == '"' {
		if err := json.Unmarshal(text, &m.Pattern); err != nil {
			return err
		}
		if m.Pattern == AllLinear {
			*m = Named(AllLinear)
		}
		return nil
	}
	return json.Unmarshal(text, &m.Names)
}

// IsZero says whether nothing is named.
func (m Modules) IsZero() bool { return m.Names == nil && m.Pattern == "" }

// present puts the projections that there are in the place of AllLinear where a model has no
// MLP, so that a file names none in vain.
func (m Modules) present(c *transformer.Config) Modules {
	if c.FFN > 0 || !slices.Contains(m.Names, AllLinear) {
		return m
	}
	names := slices.DeleteFunc(slices.Clone(m.Names), func(n string) bool { return n == AllLinear })
	for p := range transformer.NumProj {
		if out, in := p.Size(c); out > 0 && in > 0 {
			names = append(names, p.String())
		}
	}
	return Named(names...)
}

// matcher returns whether a name is meant.
func (m Modules) matcher() (func(x module) bool, error) {
	if m.Pattern != "" {
		re, err := wholeName(m.Pattern)
		if err != nil {
			return nil, err
		}
		return func(x module) bool { return re.MatchString(x.name) }, nil
	}
	return func(x module) bool {
		for _, n := range m.Names {
			if x.name == n || strings.HasSuffix(x.name, "."+n) || n == AllLinear && x.kind == projection {
				return true
			}
		}
		return false
	}, nil
}

func wholeName(pattern string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %v: %w", pattern, err, ErrConfig)
	}
	return re, nil
}

// moduleKind is what a module does.
type moduleKind uint8

const (
	projection moduleKind = iota
	embedding
	unembedding
	positioning // the learned vectors of positions (toys)
	norm
)

// HF's names of the modules outside the layers.
const (
	embedModule    = "model.embed_tokens"
	positionModule = "model.embed_positions"
	unembedModule  = "lm_head"
)

// module is a part of a model that has a weight.
type module struct {
	name    string // HF's: "model.layers.3.self_attn.q_proj"
	kind    moduleKind
	layer   int // −1 outside the layers
	proj    transformer.Proj
	out, in int // of the weight's shape; in is 0 for vectors
}

// modules lists a model's modules in HF's order, and an output matrix also where it is
// the embedding matrix.
func modules(c *transformer.Config) []module {
	projections := map[string]module{}
	for l := range c.Layers {
		for p := range transformer.NumProj {
			projections[p.Module(l)] = module{kind: projection, layer: l, proj: p}
		}
	}
	var all []module
	for name, shape := range c.Parameters() {
		x := module{kind: norm, layer: layerOf(name), out: shape[0]}
		name = strings.TrimSuffix(name, ".weight")
		if p, ok := projections[name]; ok {
			x = p
		}
		switch name {
		case embedModule:
			x.kind = embedding
		case unembedModule:
			x.kind = unembedding
		case positionModule:
			x.kind = positioning
		}
		x.name, x.out = name, shape[0]
		if len(shape) == 2 {
			x.in = shape[1]
		}
		all = append(all, x)
	}
	if c.Tied {
		all = append(all, module{name: unembedModule, kind: unembedding, layer: -1, out: c.VocabSize, in: c.Hidden})
	}
	return all
}

// layerOf returns the layer in a name, or −1.
func layerOf(name string) int {
	rest, ok := strings.CutPrefix(name, "model.layers.")
	if !ok {
		return -1
	}
	number, _, _ := strings.Cut(rest, ".")
	l, err := strconv.Atoi(number)
	if err != nil {
		return -1
	}
	return l
}

// selection says which modules a method is for.
type selection struct {
	targets, exclude Modules
	layers           []int // nil: all
	kinds            []moduleKind
}

// of returns the modules of a model that are meant. An error names a target that
// matches nothing, or a module that the method can't be for.
func (s selection) of(c *transformer.Config) ([]module, error) {
	match, err := s.targets.matcher()
	if err != nil {
		return nil, err
	}
	exclude, err := s.exclude.matcher()
	if err != nil {
		return nil, err
	}
	for _, l := range s.layers {
		if l < 0 || l >= len(c.Layers) {
			return nil, fmt.Errorf("layer %d of a model with %d: %w", l, len(c.Layers), ErrMismatch)
		}
	}
	var found []module
	for _, x := range modules(c) {
		if !match(x) || exclude(x) || s.layers != nil && !slices.Contains(s.layers, x.layer) {
			continue
		}
		if !slices.Contains(s.kinds, x.kind) {
			return nil, fmt.Errorf("%s can't be a target of this method: %w", x.name, transformer.ErrUnsupported)
		}
		found = append(found, x)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("targets %v match no part of the model: %w", s.targets, ErrConfig)
	}
	return found, s.eachMatches(c)
}

// eachMatches makes sure that no name in the list is in vain: it would be a typing
// error.
func (s selection) eachMatches(c *transformer.Config) error {
	all := modules(c)
	for _, name := range s.targets.Names {
		match, err := Named(name).matcher()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, match) {
			return fmt.Errorf("target %q matches no part of the model: %w", name, ErrConfig)
		}
	}
	return nil
}

// String gives the names or the pattern.
func (m Modules) String() string {
	if m.Pattern != "" {
		return m.Pattern
	}
	return strings.Join(m.Names, ",")
}

// byPattern looks a module up in rank_pattern or alpha_pattern, whose keys are
// regular expressions for the end of its name.
func byPattern[T any](patterns map[string]T, name string, otherwise T) (T, error) {
	for _, key := range sortedKeys(patterns) {
		re, err := wholeName(`(?:.*\.)?` + `(?:` + key + `)`)
		if err != nil {
			return otherwise, err
		}
		if re.MatchString(name) {
			return patterns[key], nil
		}
	}
	return otherwise, nil
}
