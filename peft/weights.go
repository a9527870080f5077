package peft

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpupeft/gpupeft/tensor"
	"github.com/gpupeft/gpupeft/transformer"
)

// savedWeights are weights of the model that are trained as a whole: a float32 copy
// stands in their place.
type savedWeights struct {
	names []module
	file  func(x module) string // the parameter's name
	specs []spec
}

// saveWeights makes copies of modules' weights, under the names that file gives.
func saveWeights(m *transformer.Model, names []module, file func(x module) string) savedWeights {
	s := savedWeights{names: names, file: file}
	for _, x := range names {
		shape := []int{x.out}
		if x.in > 0 {
			shape = []int{x.out, x.in}
		}
		s.specs = append(s.specs, spec{name: file(x), shape: shape, init: func(ctx context.Context, dst []float32) error {
			return readWeight(ctx, m, x.name+".weight", dst)
		}})
	}
	return s
}

// readWeight sets dst to a weight's values.
func readWeight(ctx context.Context, m *transformer.Model, name string, dst []float32) error {
	if w := m.Weight(name); len(w.Shape) < 2 {
		values, err := tensor.Floats(ctx, m.Backend(), w)
		copy(dst, values)
		return err
	}
	return eachRow(ctx, m, name, func(r int, row []float32) { copy(dst[r*len(row):], row) })
}

// savedModules are modules_to_save: each name stands for all modules whose names end
// with it.
func savedModules(m *transformer.Model, names []string, prefix string) (savedWeights, error) {
	var found []module
	for _, x := range modules(m.Config) {
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(x.name, n) }) {
			found = append(found, x)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(found, func(x module) bool { return strings.HasSuffix(x.name, n) }) {
			return savedWeights{}, fmt.Errorf("module to save %q matches no part of the model: %w", n, ErrConfig)
		}
	}
	return saveWeights(m, found, func(x module) string { return prefix + x.name + ".weight" }), nil
}

// attach is the Weight of a transformer.Attachment.
func (s savedWeights) attach(m *method) func(name string) *transformer.Trained {
	byName := map[string]*transformer.Trained{}
	for _, x := range s.names {
		p := m.param(s.file(x))
		byName[x.name+".weight"] = &transformer.Trained{Value: p.Value, Grad: p.Grad}
	}
	return func(name string) *transformer.Trained { return byName[name] }
}

// updates puts the trained values in the weights' place.
func (s savedWeights) updates(ctx context.Context, m *method) (map[string]update, error) {
	all := map[string]update{}
	for _, x := range s.names {
		values, err := tensor.Floats(ctx, m.model.Backend(), m.param(s.file(x)).Value)
		if err != nil {
			return nil, err
		}
		all[x.name+".weight"] = func(r int, row []float32) { copy(row, values[r*len(row):]) }
	}
	return all, nil
}

// weightsOnly is the design of a method that trains nothing but weights.
func weightsOnly(c Config, s savedWeights) *design {
	return &design{
		config: c,
		specs:  s.specs,
		attach: func(m *method, _ *scratch) *transformer.Attachment {
			return &transformer.Attachment{Weight: s.attach(m)}
		},
		updates: s.updates,
	}
}

// sortedKeys returns a map's keys in order.
func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
